"""Counts a topic's reports with confluent-kafka, and keeps checkpoints."""

import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

import months

BATCH_RECORDS_MAX = 1000
ANSWER_MAX_SECONDS = 10


def consume(options):
    consumer = Consumer(
        {
            "bootstrap.servers": options.brokers,
            # A group is needed even to read without one; the checkpoint is the only commit.
            "group.id": "peer",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            # Default false: the other clients, too, look whether bytes were flipped.
            "check.crcs": True,
            # Default 1000: a partition whose queue was full would stand still for a second.
            "fetch.queue.backoff.ms": 1,
            # The end of a partition may lie past its last record.
            "enable.partition.eof": True,
        }
    )
    metadata = consumer.list_topics(options.topic, ANSWER_MAX_SECONDS).topics[options.topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    first_offsets, ends = {}, {}
    for number in sorted(metadata.partitions):
        first_offsets[number], ends[number] = consumer.get_watermark_offsets(
            TopicPartition(options.topic, number), ANSWER_MAX_SECONDS
        )

    checkpoints = months.Checkpoints(options, first_offsets, ends)
    partitions = checkpoints.partitions
    consumer.assign([TopicPartition(options.topic, number, partitions[number].offset) for number in partitions])
    while checkpoints.goes_on():
        values = {number: [] for number in partitions}
        for message in consumer.consume(BATCH_RECORDS_MAX, 0.1):
            number, error = message.partition(), message.error()
            if error is None:
                values[number].append(message.value())
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            partitions[number].offset = message.offset() + (error is None)
        for number in partitions:
            partitions[number].fold(values[number])
    checkpoints.finish()


if __name__ == "__main__":
    try:
        consume(months.options())
    except (KafkaException, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
