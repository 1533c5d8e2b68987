#!/usr/bin/env python3
"""Prints expected.json: the statistics of the files next to it, in exact arithmetic and by code of its own.

usage: tests/data/expected.py > tests/data/expected.json
"""

import csv
import gzip
import json
from fractions import Fraction
from pathlib import Path

HERE = Path(__file__).parent
BY_YEAR = "two_downloads.by_year.csv.gz"

# A file's values are pairs: a day, and tenths of °C (or °F) as a text; and whether a quality flag is set.


def text_of(name):
    data = (HERE / name).read_bytes()
    # gzip.decompress joins members, as `zcat` does.
    return (gzip.decompress(data) if name.endswith(".gz") else data).decode()


def access(name):
    for row in csv.DictReader(text_of(name).splitlines()):
        if row["TMAX"].strip() not in ("", "-9999"):
            yield row["DATE"], Fraction(row["TMAX"].strip()) / 10, bool(row["TMAX_ATTRIBUTES"].split(",")[1])


def by_station(name, station):
    for line in text_of(name).splitlines():
        identifier, day, element, value, _, flag, _, _ = line.split(",")
        if identifier == station and element == "TMAX":
            yield f"{day[:4]}-{day[4:6]}-{day[6:]}", Fraction(value) / 10, bool(flag)


def fixed_width(name):
    for line in text_of(name).splitlines():
        for day in range(31):
            value = line[21 + 8 * day : 29 + 8 * day]
            if line[17:21] == "TMAX" and value[:5] != "-9999":
                yield f"{line[11:15]}-{line[15:17]}-{day + 1:02}", Fraction(value[:5].strip()) / 10, value[6] != " "


def fahrenheit(name):
    for row in csv.DictReader(text_of(name).splitlines()):
        if row["tmax"] != "NA":
            yield row["date"], (Fraction(row["tmax"]) - 32) * 5 / 9, False


def open_meteo_csv(name):
    for line in text_of(name).split("\n\n")[1].splitlines()[1:]:
        day, maximum = line.split(",")[:2]
        yield day, Fraction(maximum), False


def open_meteo_json(name):
    daily = json.loads(text_of(name), parse_float=Fraction)["daily"]
    for day, maximum in zip(daily["time"], daily["temperature_2m_max"], strict=True):
        yield day, Fraction(maximum), False


def months(values):
    """Count, days and degrees of each month; of a day that comes twice, the first value counts."""
    first = {}
    for day, degrees, _ in values:
        first.setdefault(day, degrees)
    found = {}
    for day, degrees in sorted(first.items()):
        found.setdefault(day[:7], []).append((day, degrees))
    return {
        month: {
            "count": len(days),
            "start": days[0][0],
            "end": days[-1][0],
            "sum": float(sum(degrees for _, degrees in days)),
            "min": float(min(degrees for _, degrees in days)),
            "max": float(max(degrees for _, degrees in days)),
        }
        for month, days in found.items()
    }


def expected(values):
    values = list(values)
    unflagged = [value for value in values if not value[2]]
    return {"values": len(values), "unflagged_values": len(unflagged), "all": months(values), "unflagged": months(unflagged)}


print(
    json.dumps(
        {
            "access_USW00014837.csv": expected(access("access_USW00014837.csv")),
            "access_USC00410498.csv": expected(access("access_USC00410498.csv")),
            "by_station_USW00014920.csv.gz": expected(by_station("by_station_USW00014920.csv.gz", "USW00014920")),
            "USW00014819.dly": expected(fixed_width("USW00014819.dly")),
            f"{BY_YEAR} USW00026422": expected(by_station(BY_YEAR, "USW00026422")),
            f"{BY_YEAR} USW00003013": expected(by_station(BY_YEAR, "USW00003013")),
            "lacrosse_fahrenheit.csv": expected(fahrenheit("lacrosse_fahrenheit.csv")),
            "openmeteo_berlin.csv": expected(open_meteo_csv("openmeteo_berlin.csv")),
            "openmeteo_brasilia.json": expected(open_meteo_json("openmeteo_brasilia.json")),
        },
        indent=1,
    )
)
