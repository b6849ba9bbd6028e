"""What a real relay puts into a real topic, read with the package that analysts use: docs/examples/consume.py beside `docket replay`.

Needs script/kafka and target/debug/docket.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from datetime import datetime
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).parent.parent.parent
KAFKA = ROOT / "script/kafka"
DOCKET = ROOT / "target/debug/docket"
CONSUME = ROOT / "docs/examples/consume.py"
PATIENCE = 60
# Nothing of the caller's settings.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKET_", "DATABASE_", "KAFKA_"))}


def output(*command, **options) -> str:
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=300, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def consume(brokers: str, topic: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, CONSUME, brokers, topic], text=True, capture_output=True, check=False)


def alike(event: dict) -> dict:
    """The event without what the two ways name differently, its time as a time, and truths as headers write them."""
    taken = {name: value for name, value in event.items() if name not in ("shard", "partitionkey")}
    truths = {name: str(value).lower() for name, value in taken.items() if isinstance(value, bool)}
    return {**taken, **truths, "time": datetime.fromisoformat(taken["time"])}


def event(sequence: int) -> dict[str, str]:
    """The headers of an event."""
    return {
        "ce_specversion": "1.0",
        "ce_id": f"event-{sequence}",
        "ce_source": "/docket",
        "ce_type": "docket.consultation.withdrawn.v1",
        "content-type": "application/json",
        "ce_sequence": str(sequence),
    }


class Topic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="docket-contract-")
        cls.addClassCleanup(folder.cleanup)
        kafka, data = Path(folder.name, "kafka"), Path(folder.name, "data")
        # PostgreSQL's user must be able to enter it.
        os.chmod(folder.name, 0o755)
        cls.addClassCleanup(output, KAFKA, "stop", "--dir", kafka)
        cls.brokers = output(KAFKA, "start", "--dir", kafka).strip().split("=")[1]
        cls.data = ["--data-dir", data]
        with open(Path(folder.name, "log"), "wb") as log:
            command = [DOCKET, "up", *cls.data, "--listen", "127.0.0.1:0"]
            up = subprocess.Popen(command, env={**CLEAN, "KAFKA_BROKERS": cls.brokers}, stdout=subprocess.PIPE, stderr=log, text=True)
        cls.addClassCleanup(up.stdout.close)
        cls.addClassCleanup(up.wait, 60)
        cls.addClassCleanup(up.terminate)
        if not any(line.startswith("ready ") for line in up.stdout):
            raise AssertionError(Path(folder.name, "log").read_text())
        output(DOCKET, "import", "permits", ROOT / "script/sample-permits.csv", *cls.data, env=CLEAN)

    def replayed(self, category: str) -> list[dict]:
        lines = output(DOCKET, "replay", "--category", category, *self.data, env=CLEAN).splitlines()
        return [json.loads(line) for line in lines]

    def consumed(self, category: str, expected: int) -> list[dict]:
        """The events of a topic, as soon as all are published."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done = consume(self.brokers, f"docket.{category}")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            events = [json.loads(line) for line in done.stdout.splitlines()]
            if len(events) >= expected or time.monotonic() > deadline:
                return events

    def test_the_package_reads_from_the_topic_what_replay_prints(self):
        for category, at_least in ("consultation", 60), ("identity", 5):
            replayed = self.replayed(category)
            self.assertGreaterEqual(len(replayed), at_least)
            consumed = self.consumed(category, len(replayed))
            for event in consumed:
                self.assertEqual(event["partitionkey"], event["subject"])
            by_id = {event["id"]: alike(event) for event in replayed}
            self.assertEqual({event["id"]: alike(event) for event in consumed}, by_id)
            self.assertEqual(len(consumed), len(replayed))

    def topic(self, name: str, messages: list[dict]) -> str:
        """A topic of one partition with the given headers, or none, and `{}`."""
        admin = AdminClient({"bootstrap.servers": self.brokers})
        admin.create_topics([NewTopic(name, 1)])[name].result(PATIENCE)
        producer = Producer({"bootstrap.servers": self.brokers})
        for headers in messages:
            producer.produce(name, value=b"{}", key=b"stream", headers=headers)
        self.assertEqual(producer.flush(PATIENCE), 0)
        return name

    def test_the_consumer_drops_repetitions(self):
        done = consume(self.brokers, self.topic("repeated", [event(1), event(2), event(1), event(2), event(3)]))
        sequences = [json.loads(line)["sequence"] for line in done.stdout.splitlines()]
        self.assertEqual((done.returncode, done.stderr, sequences), (0, "", ["1", "2", "3"]))

    def test_the_consumer_ends_with_1_where_something_is_missing_or_no_event(self):
        bad = {
            "gap": ([event(1), event(3)], "partition 0: sequence 3 follows 1"),
            "bare": ([event(1), {}], ""),
            "nothing": (None, "there is no topic nothing"),
        }
        for name, (messages, reason) in bad.items():
            done = consume(self.brokers, name if messages is None else self.topic(name, messages))
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
            self.assertTrue(done.stderr.startswith(f"consume: {reason}"), done.stderr)


if __name__ == "__main__":
    unittest.main()
