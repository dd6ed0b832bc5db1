"""Age groups of coverage data, such as "6 Months - 4 Years", and which of those that overlap count."""

import itertools
import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from modeling.build.csv_table import shown

MONTHS = {"month": 1, "months": 1, "year": 12, "years": 12}
LABEL = r"(\d{1,3}) ?([a-z]*)(?: ?- ?(\d{1,3}) ?([a-z]*)| ?\+ ?([a-z]*))"


class AgeSpan(NamedTuple):
    """Ages from a first one to below another [months]; `end_month` is infinite for an open group."""

    first_month: float
    end_month: float
    label: str

    def overlaps(self, other: "AgeSpan") -> bool:
        return self.first_month < other.end_month and other.first_month < self.end_month

    def contains(self, other: "AgeSpan") -> bool:
        """Return whether another span lies within this one and is smaller."""
        inside = self.first_month <= other.first_month and other.end_month <= self.end_month
        return inside and self[:2] != other[:2]


def age_span(label: str) -> AgeSpan:
    """Return the ages of "6 Months - 4 Years", "5-12 Years" or "65+ Years"; ValueError for any other text."""
    match = re.fullmatch(LABEL, " ".join(label.split()).lower())
    if match:
        first, first_unit, last, last_unit, open_unit = match.groups()
        unit = last_unit or open_unit or first_unit or "years"
        units = (first_unit or unit, unit)
        if set(units) <= MONTHS.keys():
            begin = int(first) * MONTHS[units[0]]
            # "4 Years" lasts to the fifth birthday
            end = (int(last) + 1) * MONTHS[units[1]] if last else math.inf
            if begin < end:
                return AgeSpan(begin, end, shown(label.strip()))
    raise ValueError(
        f'"{shown(label)}" is not an age group; write "6 Months - 4 Years", "5-12 Years" or "65+ Years"'
    )


def without_sums(spans: Iterable[AgeSpan]) -> list[AgeSpan]:
    """Return the spans in order of age, without those that finer ones cover whole."""
    spans = sorted(spans)
    return [span for span in spans if not _is_covered(span, [s for s in spans if span.contains(s)])]


def first_overlap(spans: list[AgeSpan]) -> tuple[AgeSpan, AgeSpan] | None:
    """Return the first two of sorted spans that have ages in common; None if all are apart."""
    return next(((a, b) for a, b in itertools.pairwise(spans) if a.overlaps(b)), None)


def gaps(spans: list[AgeSpan], first_month: float) -> list[str]:
    """Return ages, from a first one [months] on, that no sorted span has: "13-17", "65+", "6-8 months"."""
    found, reached = [], first_month
    for span in spans:
        if span.first_month > reached:
            last_year = span.first_month / 12 - 1
            is_whole = last_year.is_integer() and reached / 12 <= last_year
            years, months = f"{reached / 12:g}-{last_year:g}", f"{reached}-{span.first_month - 1} months"
            found.append(years if is_whole else months)
        reached = max(reached, span.end_month)
    return found if math.isinf(reached) else [*found, f"{reached / 12:g}+"]


def _is_covered(span: AgeSpan, finer: list[AgeSpan]) -> bool:
    reached = span.first_month
    for each in finer:  # sorted by their first age
        if each.first_month <= reached:
            reached = max(reached, each.end_month)
    return reached >= span.end_month
