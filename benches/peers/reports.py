"""What the Python producers send: day after day from 1990-01-01 on, the first day again after the last."""

import argparse
import gc
from calendar import month_name
from datetime import date as Date

from report_pb2 import Report

# Nothing that a report is made of is part of a cycle: to look for cycles less often than at each 700 new objects, the
# default, takes less time.
gc.set_threshold(100_000, 50, 50)

FIRST_DAY = Date(1990, 1, 1)


def reports(count):
    """As many reports, as (key, value)."""
    keys = [name.encode("ascii") for name in month_name]
    first, days = FIRST_DAY.toordinal(), Date.max.toordinal() - FIRST_DAY.toordinal() + 1
    for number in range(count):
        day = Date.fromordinal(first + number % days)
        report = Report(date=day.isoformat(), degrees=number % 601 / 10 - 30)
        yield keys[day.month], report.SerializeToString()


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True, metavar="HOST:PORT")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--records", required=True, type=int, help="how many to send")
    return parser.parse_args()
