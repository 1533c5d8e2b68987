"""Sends reports with kafka-python."""

import sys

from kafka import KafkaProducer
from kafka.errors import KafkaError

import reports


def produce(options):
    producer = KafkaProducer(
        bootstrap_servers=options.brokers,
        acks="all",
        enable_idempotence=True,
        allow_auto_create_topics=False,
        # Defaults 0 and 16384: a larger batch costs less for each record in it, and needs time to fill.
        linger_ms=50,
        batch_size=65536,
    )
    failed = 0

    def on_failed(error):
        nonlocal failed
        failed += 1
        if failed == 1:
            print(f"error: {error!r}", file=sys.stderr)

    topic = options.topic
    for key, value in reports.reports(options.records):
        producer.send(topic, value, key).add_errback(on_failed)
    # Returns when each is acknowledged or has failed.
    producer.flush()
    print(options.records - failed)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(produce(reports.options()))
    except (KafkaError, OSError, ValueError) as error:
        sys.exit(f"error: {error!r}")
