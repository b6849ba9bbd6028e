"""What cloudevents_read.py reads, and what it refuses: `python -m unittest discover -s tests/contracts`."""

import json
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).parent
MESSAGES = [json.loads(line) for line in (HERE / "messages.jsonl").read_text().splitlines()]


def run(messages: list[dict]) -> subprocess.CompletedProcess[str]:
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    script = [sys.executable, HERE / "cloudevents_read.py"]
    return subprocess.run(script, input=lines, text=True, capture_output=True, check=False)


class CloudEventsRead(unittest.TestCase):
    def test_messages_are_read_with_their_attributes_extensions_and_data(self):
        done = run(MESSAGES)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        events = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(events), len(MESSAGES))
        for message, event in zip(MESSAGES, events):
            headers = {name[3:]: value for name, value in message["headers"].items() if name.startswith("ce_")}
            self.assertEqual(event.pop("data"), json.loads(message["value"]))
            self.assertEqual(event.pop("datacontenttype"), "application/json")
            self.assertEqual(event.pop("partitionkey"), message["key"])
            # What has no prefix is no part of the event: the trace and the mark.
            self.assertEqual(event, headers)

    def test_what_is_no_cloud_event_ends_with_1_and_the_reason(self):
        bad = {
            "ce_id": None,
            "ce_type": None,
            "ce_source": None,
            "ce_specversion": "2.0",
            "ce_time": "yesterday",
            "ce_Bad_Name": "x",
        }
        for name, value in bad.items():
            headers = {**MESSAGES[0]["headers"], name: value}
            headers = {name: value for name, value in headers.items() if value is not None}
            self.refused([MESSAGES[1], {**MESSAGES[0], "headers": headers}], name)
        self.refused([MESSAGES[1], {**MESSAGES[0], "value": "{"}], "value")

    def refused(self, messages: list[dict], what: str):
        done = run(messages)
        self.assertEqual(done.returncode, 1, what)
        self.assertIn("line 2 is no CloudEvent: ", done.stderr, what)
        self.assertEqual((len(done.stderr.splitlines()), len(done.stdout.splitlines())), (1, 1), what)


if __name__ == "__main__":
    unittest.main()
