"""Reads a topic of Docket from its beginning to its present end and prints each event once, as CloudEvents JSON, one a line.

    pip install confluent-kafka==2.16.1 cloudevents==2.2.0
    python consume.py 127.0.0.1:9092 docket.consultation

Ends with 1 where a sequence is missing or a message is no CloudEvent.
"""

import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

PATIENCE = 10.0


def partitions(consumer: Consumer, topic: str) -> dict[int, int]:
    """The partitions that hold anything, each with the offset at which it ends now."""
    known = consumer.list_topics(topic, timeout=PATIENCE).topics[topic]
    if known.error is not None:
        raise LookupError(f"there is no topic {topic}")
    found = {}
    for number in known.partitions:
        begin, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=PATIENCE)
        if end > begin:
            found[number] = end
    return found


def event_of(message):
    """The message as the package's CloudEvent. Its key, the stream, becomes the extension `partitionkey`."""
    headers = dict(message.headers() or [])
    return from_binary_event(KafkaMessage(headers=headers, key=message.key(), value=message.value()))


def main(brokers: str, topic: str) -> None:
    # Partitions are assigned, not subscribed to: no group, nothing committed, every run sees everything.
    settings = {"bootstrap.servers": brokers, "group.id": "analysts", "enable.auto.commit": False, "log_level": 0}
    consumer = Consumer(settings)
    ends = partitions(consumer, topic)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in ends])
    last = dict.fromkeys(ends, 0)
    while ends:
        message = consumer.poll(PATIENCE)
        if message is None or message.error():
            raise ConnectionError(message.error() if message else "the brokers do not answer")
        partition = message.partition()
        event = event_of(message)
        sequence = int(event.get_extension("sequence"))
        if sequence > last[partition] + 1:
            raise ValueError(f"partition {partition}: sequence {sequence} follows {last[partition]}")
        # A relay that was interrupted may have published an event again: the sequence tells.
        if sequence > last[partition]:
            last[partition] = sequence
            print(JSONFormat().write(event).decode())
        if message.offset() + 1 >= ends.get(partition, 0):
            ends.pop(partition, None)
    consumer.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: consume.py HOST:PORT TOPIC")
    try:
        main(*sys.argv[1:])
    except BrokenPipeError:
        pass  # Whoever reads the output has seen enough.
    except Exception as error:
        sys.exit(f"consume: {error}")
