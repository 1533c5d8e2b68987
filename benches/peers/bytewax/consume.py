"""Counts a topic's reports with Bytewax.

Its recovery store is the checkpoint; at the end, what is in it is written in the form of almanac's checkpoints.
"""

import math
import os
import pickle
import sqlite3
import sys
import threading
import time
from contextlib import closing
from datetime import timedelta

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.inputs import StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from google.protobuf.message import DecodeError

import months
from report_pb2 import Report


class Source(KafkaSource):
    """The usual source, until the time is over."""

    def __init__(self, options, progress):
        # Default of librdkafka false: the other clients, too, look whether bytes were flipped.
        # 3: errors; at 4 its admin client would warn of a property that is not for it.
        config = {"check.crcs": "true", "log_level": "3"}
        super().__init__([options.brokers], [options.topic], tail=False, add_config=config)
        self._progress = progress

    def build_part(self, step_id, for_part, resume_state):
        return SourcePartition(super().build_part(step_id, for_part, resume_state), self._progress)


class SourcePartition(StatefulSourcePartition):
    def __init__(self, partition, progress):
        self._partition, self._progress = partition, progress
        self.next_batch_of = partition.next_batch

    def next_batch(self):
        if time.monotonic() >= self._progress.stop:
            raise StopIteration
        return self.next_batch_of()

    def snapshot(self):
        return self._partition.snapshot()

    def close(self):
        self._partition.close()


class Days:
    """From records to the month that each report is of, as ("PARTITION-YYYY-MM", (day, degrees))."""

    def __init__(self):
        # What it takes to read a date, once for each.
        self._dates = {}

    def of(self, messages):
        days, dates, parse = [], self._dates, Report.FromString
        for message in messages:
            value = message.value
            try:
                report = parse(value)
            except (DecodeError, TypeError):  # TypeError: a record without a value
                continue
            date, degrees = report.date, report.degrees
            month_and_day = dates.get(date)
            # A date that is known may come with what makes the report invalid.
            if month_and_day is None or not months.is_usual(value, degrees):
                day = months.day_of(value, report)
                if day is None:
                    continue
                month_and_day = dates[date] = (date[:7], day.day)
            month, day = month_and_day
            days.append((f"{message.partition}-{month}", (day, degrees)))
        return days


class Month(StatefulBatchLogic):
    """A month's cell. The first report of a day wins."""

    def __init__(self, cell):
        self._cell = cell

    def on_batch(self, values):
        for day, degrees in values:
            if self._cell is None:
                self._cell = months.Cell.first(day, degrees)
            elif not self._cell.has(day):
                self._cell.add(day, degrees)
        return (), StatefulBatchLogic.RETAIN

    def snapshot(self):
        return self._cell.copy()


class NoSink(DynamicSink):
    """A dataflow must have an output; all that this one yields is its state."""

    def build(self, step_id, worker_index, worker_count):
        return NoSinkPartition()


class NoSinkPartition(StatelessSinkPartition):
    def write_batch(self, items):
        pass


class RecoveryStore:
    """What the recovery store would resume from."""

    def __init__(self, path):
        self._connection = closing(sqlite3.connect(path))

    def __enter__(self):
        self._open = self._connection.__enter__()
        return self

    def __exit__(self, *error):
        self._connection.__exit__(*error)

    def epoch(self):
        """All before this epoch is durable."""
        row = self._open.execute("SELECT worker_frontier FROM fronts ORDER BY ex_num DESC LIMIT 1").fetchone()
        return row[0] if row else 0

    def states(self, step, epoch):
        # With max(), SQLite takes the other columns from the row that has the maximum.
        rows = self._open.execute(
            "SELECT state_key, ser_change, max(snap_epoch) FROM snaps"
            " WHERE step_id = ? AND snap_epoch < ? GROUP BY state_key",
            (step, epoch),
        )
        return {key: pickle.loads(state) for key, state, _ in rows if state is not None}

    def offsets(self, epoch):
        states = self.states("months.reports", epoch)
        # Below 0 is a partition of which nothing has been read yet.
        return {int(key.partition("-")[0]): max(offset, 0) for key, offset in states.items()}


class Progress(threading.Thread):
    """Prints how far the recovery store is."""

    def __init__(self, path, seconds):
        super().__init__(daemon=True)
        self.stop = math.inf
        self._path, self._seconds = path, seconds
        self._done, self._printed = threading.Event(), 0

    def run(self):
        with RecoveryStore(self._path) as store:
            while not self._done.wait(months.CHECKPOINT_EVERY_SECONDS):
                self._print(store)

    def finish(self):
        self._done.set()
        self.join()
        with RecoveryStore(self._path) as store:
            self._print(store)

    def _print(self, store):
        covered = sum(store.offsets(store.epoch()).values())
        if covered > self._printed:
            print(covered, flush=True)
            self._printed = covered
            self.stop = min(self.stop, time.monotonic() + self._seconds)


def dataflow(options, progress):
    flow = Dataflow("months")
    messages = op.input("reports", flow, Source(options, progress))
    days = op.flat_map_batch("days", messages, Days().of)
    cells = op.stateful_batch("count", days, Month)
    op.output("nothing", cells, NoSink())
    return flow


def write_checkpoints(options, path):
    with RecoveryStore(path) as store:
        epoch = store.epoch()
        offsets, cells = store.offsets(epoch), store.states("months.count", epoch)
    partitions = {number: months.Partition(number, options.dir, 0, offset) for number, offset in offsets.items()}
    for key, cell in cells.items():
        number, year, month = (int(part) for part in key.split("-"))
        partitions[number].put((month, year), cell)
    for number, partition in partitions.items():
        partition.offset = offsets[number]
        partition.save()


def consume(options):
    recovery = os.path.join(options.dir, "recovery")
    path = os.path.join(recovery, "part-0.sqlite3")
    if not os.path.exists(path):
        os.makedirs(recovery, exist_ok=True)
        init_db_dir(recovery, 1)
    progress = Progress(path, options.seconds)
    progress.start()
    interval = timedelta(seconds=months.CHECKPOINT_EVERY_SECONDS)
    cli_main(dataflow(options, progress), epoch_interval=interval, recovery_config=RecoveryConfig(recovery))
    progress.finish()
    write_checkpoints(options, path)
    months.wait_for_end_of_stdin()


if __name__ == "__main__":
    try:
        consume(months.options())
    except (RuntimeError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
