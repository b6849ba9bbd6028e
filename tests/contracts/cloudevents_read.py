"""Reads Kafka messages as the CloudEvents that the `cloudevents` package sees in them.

Standard input has one message a line, as a consumer gets it: {"headers": {NAME: VALUE, ...}, "key": KEY, "value": VALUE}, all text.
Standard output gets one event a line, in CloudEvents' JSON format. Ends with 1 and the reason at the first that cannot be read.
"""

import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat


def message(line: str) -> KafkaMessage:
    """A line as the package takes messages: all but names in bytes, as on the wire."""
    given = json.loads(line)
    headers = {name: value.encode() for name, value in given["headers"].items()}
    return KafkaMessage(headers=headers, key=given["key"].encode(), value=given["value"].encode())


def read(line: str) -> bytes:
    """The event in a line, in JSON."""
    taken = message(line)
    event = from_binary_event(taken)
    # The package makes up an id that is missing, and takes a value that is not the JSON it claims to be as plain text.
    if event.get_id().encode() != taken.headers.get("ce_id"):
        raise ValueError("the header ce_id is missing")
    if event.get_data() != json.loads(taken.value):
        raise ValueError("the value is not the data")
    return JSONFormat().write(event)


def reason(error: Exception) -> str:
    """What is wrong, in one line."""
    if isinstance(error, CloudEventValidationError):
        return "; ".join(str(fault) for faults in error.errors.values() for fault in faults)
    return f"{type(error).__name__}: {error}"


def main() -> int:
    """Reads all messages; gives the exit code."""
    for number, line in enumerate(sys.stdin, start=1):
        try:
            event = read(line)
        except Exception as error:  # Whatever the package makes of a bad message is the answer.
            print(f"line {number} is no CloudEvent: {reason(error)}", file=sys.stderr)
            return 1
        print(event.decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
