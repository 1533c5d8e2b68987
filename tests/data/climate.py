#!/usr/bin/env python3
"""Prints what the months of a place say, computed from monthly statistics by code of its own.

usage: tests/data/climate.py degF|degC|tenths_degC < MONTHS.csv

MONTHS.csv has lines of month, count, last day, sum, as in 2023-12,31,2023-12-31,1234. Normals, anomalies and ranks are
computed in exact fractions; the interval of a trend by integrating Student's t.
"""

import calendar
import json
import math
import sys
from fractions import Fraction


CELSIUS = {
    "degF": lambda average: (average - 32) * 5 / 9,
    "degC": lambda average: average,
    "tenths_degC": lambda average: average / 10,
}


def complete_months(lines, unit):
    """The averages of complete months, by (month, year)."""
    rows = [line.strip().split(",") for line in lines]
    newest = max(end for _, _, end, _ in rows)
    found = {}
    for name, count, _, total in rows:
        year, month = int(name[:4]), int(name[5:])
        days = calendar.monthrange(year, month)[1]
        if days - int(count) <= 3 and newest >= f"{name}-{days:02}":
            found[month, year] = CELSIUS[unit](Fraction(total) / int(count))
    return found


def t_quantile(freedom):
    """The 97.5 % quantile of Student's t: the density's integral by Simpson's rule, and bisection."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)

    def density(x):
        return scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2)

    def integral(to, steps=2000):
        inner = sum((4 if step % 2 else 2) * density(to * step / steps) for step in range(1, steps))
        return (density(0) + inner + density(to)) * to / steps / 3

    low, high = 1.9, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if integral(middle) < 0.475 else (low, middle)
    return low


def trend(years):
    count = len(years)
    mean_year = Fraction(sum(years), count)
    mean = sum(years.values()) / count
    spread = sum((year - mean_year) ** 2 for year in years)
    slope = sum((year - mean_year) * (average - mean) for year, average in years.items()) / spread
    rest = sum((average - mean - slope * (year - mean_year)) ** 2 for year, average in years.items())
    margin = t_quantile(count - 2) * math.sqrt(float(rest / (count - 2) / spread))
    return {"per_decade": float(10 * slope), "margin": 10 * margin}


def climate(averages):
    months = {}
    for month in range(1, 13):
        years = {year: average for (of, year), average in sorted(averages.items()) if of == month}
        if len(years) < 10:
            continue
        standard = [average for year, average in years.items() if 1991 <= year <= 2020]
        is_standard = len(standard) >= 24
        members = standard if is_standard else list(years.values())
        normal = sum(members) / len(members)
        months[str(month)] = {
            "normal": float(normal),
            "period": [1991, 2020] if is_standard else [min(years), max(years)],
            "trend": trend(years),
            "years": {
                str(year): {
                    "anomaly": float(average - normal),
                    "warmest": 1 + sum(other > average for other in years.values()),
                    "coldest": 1 + sum(other < average for other in years.values()),
                    "ties": sum(other == average for other in years.values()) - 1,
                }
                for year, average in years.items()
            },
        }
    return {"complete": sorted(f"{year:04}-{month:02}" for month, year in averages), "months": months}


json.dump(climate(complete_months(sys.stdin, sys.argv[1])), sys.stdout)
