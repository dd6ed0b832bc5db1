"""The spacing of the dates of observed data, compared with what a model reports.

Weekly totals that are fitted as daily counts would make a forecast seven times too high.
"""

import datetime
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from modeling.calendars import WEEKDAYS

_DAY = datetime.timedelta(days=1)
SPARSE_GAPS = 3  # of the same length in a row are a spacing; fewer may be missing reports


@dataclass(frozen=True)
class Reporting:
    """The dates that a model reports; `frequency` is resample_frequency, `where` its "file:line"."""

    frequency: str | None
    delta_t_days: float
    where: str

    @property
    def spacing_days(self) -> int | None:
        """Days between two reported dates; None for months, whose lengths differ, and for parts of a day."""
        match = re.fullmatch(r"(\d*)(D|W.*)", self.frequency or "")
        if match:
            return int(match[1] or 1) * (1 if match[2] == "D" else 7)
        if self.frequency is None and self.delta_t_days >= 1:
            return int(self.delta_t_days)
        return None

    @property
    def is_monthly(self) -> bool:
        return self.frequency in ("MS", "ME")

    @property
    def interval(self) -> str:
        """Time that one count stands for: "1 day", "7 days"."""
        return _span(self.spacing_days) if self.spacing_days else "a month"

    def __str__(self) -> str:
        if self.frequency is None:
            return f"each step of {_span(self.delta_t_days)} (no resample_frequency)"
        span = "months" if self.is_monthly else f"each {_span(self.spacing_days)}".replace("1 day", "day")
        return f"{span} (resample_frequency {self.frequency})"


def spacing_problem(dates: list[list[datetime.date]], reporting: Reporting) -> str | None:
    """Return how the spacing of dates differs from the reported one, and how to fix it; None if it agrees.

    Parameters
    ----------
    dates : list of list of date
        Sorted dates of each place, also those without a value; first those of the compared place.
    """
    wanted = 1 if reporting.is_monthly else reporting.spacing_days
    if wanted is None:
        return None
    gaps = [gap for each in dates for gap in _gaps(each, reporting.is_monthly)]
    part = ""
    if sparse := _sparse_part(dates[0], wanted, reporting.is_monthly):
        part = f" from {sparse[0]} to {sparse[-1]}" if len(sparse) < len(dates[0]) else ""
        dates = [sparse]
    elif not gaps or _may_be(gaps, wanted):
        return None
    in_days = [gap for each in dates for gap in _gaps(each, in_months=False)]
    found = min(in_days, key=lambda gap: (-in_days.count(gap), gap))
    add_rows = ""
    if wanted > 1 and found % wanted == 0:
        add_rows = "; if reports are missing, add their dates with an empty value"
    return (
        f"{_span(found)} apart{part}, but the model reports {reporting}; set simulation.resample_frequency "
        f"({reporting.where}) to {frequency_of(found, dates[0])}{add_rows}"
    )


def sparse_values(days: list[datetime.date], reporting: Reporting) -> int | None:
    """Return the days between dates with a value, if most dates between them have none; else None.

    Each value may be the total of those days.
    """
    spacing = reporting.spacing_days
    part = _sparse_part(days, spacing, in_months=False) if spacing else []
    return (part[1] - part[0]).days if part else None


def _sparse_part(days: list[datetime.date], wanted: int, in_months: bool) -> list[datetime.date]:
    """Return the first dates with wider gaps of the same length, if there are enough in a row.

    Daily reports may have become weekly ones, whereas missing reports leave gaps of several lengths.
    """
    gaps = _gaps(days, in_months)
    for begin in range(len(gaps) - SPARSE_GAPS + 1):
        gap = gaps[begin]
        if gap > wanted and all(g == gap for g in gaps[begin : begin + SPARSE_GAPS]):
            length = next((i for i, g in enumerate(gaps[begin:]) if g != gap), len(gaps) - begin)
            return days[begin : begin + length + 1]
    return []


def _may_be(gaps: list[int], wanted: int) -> bool:
    """Return whether dates with these gaps may have the wanted spacing, although some dates are missing.

    The wanted gap must be the most common one, or a third of all gaps if the others are its multiples.
    """
    count, most = gaps.count(wanted), max(Counter(gaps).values())
    multiples = all(gap > 0 and gap % wanted == 0 for gap in gaps)
    return count > 0 and (count == most or (multiples and 3 * count >= len(gaps)))


def _gaps(days: list[datetime.date], in_months: bool) -> list[int]:
    if in_months:
        return [12 * (b.year - a.year) + b.month - a.month for a, b in pairwise(days)]
    return [(b - a).days for a, b in pairwise(days)]


def _span(days: float) -> str:
    return "1 day" if days == 1 else f"{days:g} days"


def frequency_of(found: int, days: list[datetime.date]) -> str:
    """Return the resample_frequency of dates that are mostly `found` days apart."""
    if found == 1:
        return "D"
    if 28 <= found <= 31 and all(day.day == 1 for day in days):
        return "MS"
    if 28 <= found <= 31 and all((day + _DAY).day == 1 for day in days):
        return "ME"
    if found % 7 == 0:
        weekday = Counter(WEEKDAYS[day.weekday()] for day in days).most_common(1)[0][0]
        weeks = found // 7 if found > 7 else ""
        return f"{weeks}W-{weekday} if a date ends its interval, {found}D if it starts it"
    return f"{found}D"
