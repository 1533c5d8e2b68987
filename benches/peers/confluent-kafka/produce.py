"""Sends reports with confluent-kafka."""

import sys

from confluent_kafka import KafkaException, Producer

import reports

# How many records go out between two looks at what has been acknowledged.
POLL_EVERY_RECORDS = 1000


def produce(options):
    producer = Producer(
        {
            "bootstrap.servers": options.brokers,
            "acks": "all",
            "enable.idempotence": True,
            # Default CRC32: months would lie elsewhere than where Java clients put them.
            "partitioner": "murmur2_random",
            # Default 5: a larger batch costs less for each record in it, and needs time to fill.
            "linger.ms": 50,
            "batch.num.messages": 100000,
            "batch.size": 1000000,
            "queue.buffering.max.messages": 500000,
            # What is not reported as failed, and has left the queue, is acknowledged.
            "delivery.report.only.error": True,
        }
    )
    failed = 0

    def on_failed(error, _):
        nonlocal failed
        failed += 1
        if failed == 1:
            print(f"error: {error}", file=sys.stderr)

    topic = options.topic
    unpolled = 0
    for key, value in reports.reports(options.records):
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=on_failed)
                break
            except BufferError:
                producer.poll(0.1)
        unpolled += 1
        if unpolled == POLL_EVERY_RECORDS:
            producer.poll(0)
            unpolled = 0
    # Reports failures on its way, so it comes before what they are added to.
    unsent = producer.flush()
    failed += unsent
    print(options.records - failed)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(produce(reports.options()))
    except (KafkaException, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
