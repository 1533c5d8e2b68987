"""Counts a topic's reports with kafka-python, and keeps checkpoints."""

import sys

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

import months


def consume(options):
    consumer = KafkaConsumer(
        bootstrap_servers=options.brokers,
        # The checkpoint is the only commit.
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
    )
    numbers = consumer.partitions_for_topic(options.topic)
    if not numbers:
        raise KafkaError(f"there is no topic {options.topic}")
    topic_partitions = [TopicPartition(options.topic, number) for number in sorted(numbers)]
    consumer.assign(topic_partitions)
    first_offsets, ends = consumer.beginning_offsets(topic_partitions), consumer.end_offsets(topic_partitions)

    checkpoints = months.Checkpoints(
        options,
        {topic_partition.partition: offset for topic_partition, offset in first_offsets.items()},
        {topic_partition.partition: offset for topic_partition, offset in ends.items()},
    )
    for topic_partition in topic_partitions:
        consumer.seek(topic_partition, checkpoints.partitions[topic_partition.partition].offset)
    while checkpoints.goes_on():
        for topic_partition, records in consumer.poll(timeout_ms=100).items():
            partition = checkpoints.partitions[topic_partition.partition]
            partition.fold([record.value for record in records])
            partition.offset = consumer.position(topic_partition)
    checkpoints.finish()


if __name__ == "__main__":
    try:
        consume(months.options())
    except (KafkaError, OSError, ValueError) as error:
        sys.exit(f"error: {error!r}")
