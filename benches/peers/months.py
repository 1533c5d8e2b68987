"""What the Python peers have in common: the fold of reports into month cells, and checkpoints in almanac's form."""

import argparse
import gc
import json
import math
import os
import re
import sys
import time
from calendar import month_name
from datetime import date as Date

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from report_pb2 import Report

CHECKPOINT_EVERY_SECONDS = 0.1
DEGREES_MAX = 1e9

# Nothing that a record is turned into is part of a cycle: to look for cycles at each 700 new objects, the default,
# would take a tenth of the time.
gc.set_threshold(100_000, 50, 50)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIELDS = {Report.DATE_FIELD_NUMBER, Report.DEGREES_FIELD_NUMBER}
# As it is written with both fields: two tags, a length, ten characters and a double.
_USUAL_LENGTH = 21


class Cell:
    """The statistics of one month of one year. Bit `day - 1` of `days` is set when that day has been counted."""

    __slots__ = ("days", "sum", "min", "max")

    def __init__(self, days, sum, min, max):
        self.days, self.sum, self.min, self.max = days, sum, min, max

    @classmethod
    def first(cls, day, degrees):
        return cls(1 << day - 1, 0.0 + degrees, degrees, degrees)

    def copy(self):
        return Cell(self.days, self.sum, self.min, self.max)

    def add(self, day, degrees):
        self.days |= 1 << day - 1
        self.sum += degrees
        if degrees < self.min:
            self.min = degrees
        if degrees > self.max:
            self.max = degrees

    def has(self, day):
        return self.days >> day - 1 & 1

    def to_json(self, month, year):
        count, first, last = self.days.bit_count(), (self.days & -self.days).bit_length(), self.days.bit_length()
        prefix = f"{year:04}-{month:02}-"
        missing = ""
        if count <= last - first:
            days = (f'"{prefix}{day:02}"' for day in range(first, last) if not self.has(day))
            missing = f',"missing":[{",".join(days)}]'
        return (
            f'"{year:04}":{{"count":{count},"sum":{self.sum!r},"avg":{self.sum / count!r},"min":{self.min!r},'
            f'"max":{self.max!r},"start":"{prefix}{first:02}","end":"{prefix}{last:02}"{missing}}}'
        )

    @classmethod
    def from_json(cls, cell):
        first, last = int(cell["start"][8:]), int(cell["end"][8:])
        days = (1 << last) - (1 << first - 1)
        for missing in cell.get("missing", ()):
            days &= ~(1 << int(missing[8:]) - 1)
        return cls(days, cell["sum"], cell["min"], cell["max"])


def is_usual(value, degrees):
    """Whether all of a value that could be parsed is a date of ten characters and these degrees, which are valid."""
    return len(value) == _USUAL_LENGTH and degrees != 0.0 and -DEGREES_MAX <= degrees <= DEGREES_MAX


def day_of(value, report):
    """The day of a report that is valid, or None."""
    if not is_usual(value, report.degrees):
        # A field of ours with another wire type is an unknown field to the library.
        if any(field.field_number in _FIELDS for field in UnknownFieldSet(report)):
            return None
    # fromisoformat takes other forms as well.
    if not _DATE.fullmatch(report.date) or not math.fabs(report.degrees) <= DEGREES_MAX:
        return None
    try:
        return Date.fromisoformat(report.date)
    except ValueError:
        return None


class Partition:
    """A partition's cells, and the next offset to read."""

    def __init__(self, number, dir, first_offset, end):
        self.number, self.end = number, end
        self.path = os.path.join(dir, f"partition-{number}.json")
        self.offset, self.cells = first_offset, {}
        # The dates that have been counted: to know a repeat takes one look.
        self.seen = set()
        # Only cells that have changed since the last checkpoint are written out anew, number by number.
        self.changed, self.texts = set(), {}
        self.saved_offset = first_offset
        if os.path.exists(self.path):
            self._load()

    def fold(self, values):
        """Counts records' values. The first report of a date wins."""
        seen, parse = self.seen, Report.FromString
        for value in values:
            try:
                report = parse(value)
            except (DecodeError, TypeError):  # TypeError: a record without a value
                continue
            date = report.date
            if date in seen:
                continue
            day = day_of(value, report)
            if day is not None:
                seen.add(date)
                self._count(day, report.degrees)

    def _count(self, day, degrees):
        key = (day.month, day.year)
        cell = self.cells.get(key)
        if cell is None:
            self.cells[key] = Cell.first(day.day, degrees)
        else:
            cell.add(day.day, degrees)
        self.changed.add(key)

    def save(self):
        """Makes the checkpoint durable."""
        for key in self.changed:
            self.texts[key] = self.cells[key].to_json(*key)
        self.changed.clear()
        replace(self.path, self._to_json().encode("ascii"))
        self.saved_offset = self.offset

    def _to_json(self):
        months = {}
        for key in sorted(self.texts):
            months.setdefault(key[0], []).append(self.texts[key])
        head = f'{{"partition":{self.number},"offset":{self.offset}'
        body = (f',\n "{month_name[month]}":{{' + ",\n  ".join(years) + "}" for month, years in months.items())
        return head + "".join(body) + "}\n"

    def _load(self):
        with open(self.path, encoding="ascii") as file:
            checkpoint = json.load(file)
        self.offset = self.saved_offset = checkpoint["offset"]
        for month, name in enumerate(month_name):
            for year, cell in checkpoint.get(name, {}).items() if name else ():
                self.put((month, int(year)), Cell.from_json(cell))

    def put(self, key, cell):
        """A cell as it was kept."""
        month, year = key
        self.cells[key] = cell
        self.changed.add(key)
        self.seen.update(f"{year:04}-{month:02}-{day:02}" for day in range(1, 32) if cell.has(day))


def replace(path, content):
    """Replaces a file by one that is durable: a reader, and a restart after a crash, find all of it or the former."""
    written = path + ".new"
    with open(written, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(written, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Checkpoints:
    """All partitions of a topic, on their way to where they ended at the start."""

    def __init__(self, options, first_offsets, ends):
        os.makedirs(options.dir, exist_ok=True)
        self.partitions = {
            number: Partition(number, options.dir, first, ends[number])
            for number, first in first_offsets.items()
        }
        self._seconds, self._due, self._stop = options.seconds, 0.0, math.inf

    def goes_on(self):
        """Keeps the checkpoints' pace; false at the end, and when the time is over."""
        now = time.monotonic()
        partitions = self.partitions.values()
        if now >= self._due and any(partition.offset != partition.saved_offset for partition in partitions):
            self._save(partition for partition in partitions if partition.offset != partition.saved_offset)
            now = time.monotonic()
            self._due = now + CHECKPOINT_EVERY_SECONDS
            self._stop = min(self._stop, now + self._seconds)
        return now < self._stop and any(partition.offset < partition.end for partition in partitions)

    def _save(self, partitions):
        for partition in partitions:
            partition.save()
        print(sum(partition.offset for partition in self.partitions.values()), flush=True)

    def finish(self):
        self._save(self.partitions.values())
        wait_for_end_of_stdin()


def wait_for_end_of_stdin():
    """When all is written: ends stdout, and goes on to the end of stdin, so that the process can be looked at."""
    # Not sys.stdout.close(), which leaves the descriptor open.
    os.close(sys.stdout.fileno())
    sys.stdin.buffer.read()


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True, metavar="HOST:PORT")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--seconds", required=True, type=float, help="how long to read, from the first checkpoint on")
    return parser.parse_args()
