"""What single locations of a vintage reported: which cannot be forecast, and what a person should look at.

Jumps of the counts are the business of the method, which may replace them.
"""

import datetime
from collections.abc import Iterator, Sized

import numpy as np

from modeling.build.surveillance import NotACount, Release, Vintages
from modeling.build.weekly_table import PLACES
from modeling.failures import listed
from modeling.forecast_records import WEEK, Doubt

FEWEST_WEEKS = 8  # with a count, for a forecast
MOST_NEWEST_MISSING = 4  # weeks
WATCHED_WEEKS = 8  # newest ones, whose gaps matter to a forecast
COMPARED_WEEKS = 11  # newest ones of the vintage before, whose revisions matter
REVISED_LOG, REVISED_COUNT = 0.4, 20  # changes of more than both, on the log scale and in admissions


def left_out(vintages: Vintages, as_of: datetime.date) -> dict[str, str]:
    """Return the locations that cannot be forecast from a vintage, each with the reason."""
    release = vintages.release(as_of)
    reasons = ((each, _reason(release, each)) for each in vintages.locations)
    return {location: reason for location, reason in reasons if reason}


def _reason(release: Release, location: str) -> str:
    counts = release.counts[:, PLACES.index(location)]
    known = np.flatnonzero(~np.isnan(counts))
    refused = release.not_counts.get(location, [])
    because = f" ({_named(refused)} not counts)" if refused else ""
    if not known.size:
        return f"no count in the data of {release.as_of}{because}"
    missing = len(counts) - 1 - known[-1]
    if missing > MOST_NEWEST_MISSING:
        last = release.week(known[-1])
        return f"no count since the week ending {last}, in the newest {missing} weeks{because}"
    if known.size < FEWEST_WEEKS:
        return f"{known.size} week{_s(known)} with a count, and {FEWEST_WEEKS} are needed{because}"
    return ""


def doubts(vintages: Vintages, as_of: datetime.date) -> list[Doubt]:
    """Return what is odd about the locations of a vintage, in their order."""
    release, before = vintages.release(as_of), vintages.before(as_of)
    found: list[Doubt] = []
    for location in vintages.locations:
        found += _not_counts(release, location)
        found += _gap(release, location)
        found += _revision(release, before, location) if before is not None else ()
    return found


def _not_counts(release: Release, location: str) -> Iterator[Doubt]:
    refused = release.not_counts.get(location, [])
    if refused:
        verb = "is not a count and is" if len(refused) == 1 else "are not counts and are"
        yield Doubt(location, "fault", f"{_named(refused)} {verb} taken as unknown")


def _named(refused: list[NotACount]) -> str:
    """Return values that are not counts with their weeks; those that matter most, the newest, first."""
    newest = sorted(refused, key=lambda each: each.week, reverse=True)
    return listed((f'"{each.text}" of {each.week} ({each.where})' for each in newest), most=3)


def _gap(release: Release, location: str) -> Iterator[Doubt]:
    """Yield the newest weeks that have no count; older ones hardly change a forecast."""
    counts = release.counts[-WATCHED_WEEKS:, PLACES.index(location)]
    first = len(release.counts) - len(counts)
    missing = [first + row for row in np.flatnonzero(np.isnan(counts))]
    if missing:
        is_newest = missing[-1] == len(release.counts) - 1
        effect = "it is interpolated" if len(missing) == 1 else "they are interpolated"
        if is_newest:
            effect = "its forecast starts from an older count"
        weeks = listed(str(release.week(row)) for row in missing)
        yield Doubt(location, "gap", f"no count of the week{_s(missing)} ending {weeks}; {effect}")


def _revision(release: Release, before: Release, location: str) -> Iterator[Doubt]:
    """Yield the weeks that changed a lot since the vintage before."""
    column = PLACES.index(location)
    weeks = [before.last_week - age * WEEK for age in reversed(range(COMPARED_WEEKS))]
    old = np.array([before.of_week(week)[column] for week in weeks])
    new = np.array([release.of_week(week)[column] for week in weeks])
    with np.errstate(invalid="ignore"):
        is_changed = (np.abs(np.log1p(new) - np.log1p(old)) > REVISED_LOG) & (
            np.abs(new - old) > REVISED_COUNT
        )
    rows = np.flatnonzero(is_changed)
    if rows.size:
        changes = listed((f"{weeks[row]} from {old[row]:g} to {new[row]:g}" for row in rows), most=3)
        yield Doubt(
            location,
            "revision",
            f"known weeks changed a lot since {before.as_of}: {changes}; the forecast uses the new counts",
        )


def _s(things: Sized) -> str:
    return "" if len(things) == 1 else "s"
