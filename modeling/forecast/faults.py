"""The guard against faults of the data: jumps in the newest weeks that no epidemic makes.

Hospitals that do not report make a week far too low; corrected weeks and double counts make one far too high.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from modeling.forecast.settings import FaultSettings
from modeling.forecast_records import WEEK, Doubt
from modeling.hubs import NATION, hub_populations


def without_faulty_weeks(
    counts: np.ndarray, locations: list[str], first_week: datetime.date, settings: FaultSettings
) -> tuple[np.ndarray, list[Doubt]]:
    """Return counts in which newest weeks are unknown that most locations cannot have, and their doubts.

    Such as a week of zeros, or one to which most hospitals have not reported yet. Each week is compared with
    the newest one before it that is not faulty.

    Parameters
    ----------
    counts : ndarray, shape (weeks, locations)
        nan where unknown.
    """
    is_place = np.array([name != NATION for name in locations])
    corrected, doubts = counts.copy(), []
    first = max(len(counts) - settings.drop_weeks, 1)
    before = first - 1
    for week in range(first, len(counts)):
        old, new = counts[[before, week]][:, is_place]
        is_known = ~np.isnan(old) & ~np.isnan(new)
        changes = (np.log1p(new) - np.log1p(old))[is_known]
        totals = old[is_known].sum(), new[is_known].sum()
        usual = common_change(changes, settings.fewest_locations)
        of_total = np.log1p(totals[1]) - np.log1p(totals[0])
        if min(abs(usual), abs(of_total)) < settings.most_common or max(totals) < settings.fewest:
            before = week
            continue
        corrected[week] = np.nan
        sentence = (
            f"all locations together go from {totals[0]:,.0f} to {totals[1]:,.0f} in the week ending "
            f"{first_week + week * WEEK}; the forecast takes that week as unknown"
        )
        named = [NATION] if NATION in locations else locations
        doubts += [Doubt(name, "fault", sentence) for name in named]
    return corrected, doubts


def without_faults(
    counts: np.ndarray, locations: list[str], first_week: datetime.date, settings: FaultSettings
) -> tuple[np.ndarray, list[Doubt]]:
    """Return counts in which implausible jumps of the newest weeks are replaced, and a doubt for each.

    First the drops are replaced, oldest first, then a rise in the newest week of a location: so the week
    after a drop is not taken for a rise. An older rise gives a doubt but stays, since it was not corrected
    meanwhile. The nation changes by as much as its states do; its own jumps are not judged.

    Parameters
    ----------
    counts : ndarray, shape (weeks, locations)
        Interpolated; a week is not judged if it, or one that it is compared with, is nan.
    """
    guard = _Guard(counts.copy(), locations, first_week, settings)
    first, end = settings.compared_weeks, len(counts)
    for week in range(max(end - settings.drop_weeks, first), end):
        guard.replace_drops(week)
    for week in range(max(end - settings.rise_weeks, first), end):
        guard.judge_rises(week)
    return guard.counts, guard.doubts


@dataclass
class _Guard:
    counts: np.ndarray
    locations: list[str]
    first_week: datetime.date
    settings: FaultSettings

    def __post_init__(self):
        self.doubts: list[Doubt] = []
        self._replaced: set[tuple[int, int]] = set()  # weeks and columns
        self._is_place = np.array([name != NATION for name in self.locations])

    def replace_drops(self, week: int) -> None:
        lowest = self._before(week).min(axis=0)
        usual = self._usual(week)
        drop = np.log1p(self.counts[week]) - np.log1p(lowest)
        is_fault = (drop < usual - self._most(lowest)) & (lowest > self.settings.fewest) & self._is_place
        self._replace(week, is_fault, self.counts[week - 1], usual, "drops")

    def judge_rises(self, week: int) -> None:
        highest = self._before(week).max(axis=0)
        usual = self._usual(week)
        rise = np.log1p(self.counts[week]) - np.log1p(highest)
        is_large = self.counts[week] > self.settings.fewest
        is_fault = (rise > usual + self._most(highest)) & is_large & self._is_place
        for column in np.flatnonzero(is_fault & ~self._is_newest(week)):
            self._doubt(week, column, "rises", "the forecast takes it as it is")
        self._replace(week, is_fault & self._is_newest(week), highest, usual, "rises")

    def _is_newest(self, week: int) -> np.ndarray:
        return np.isnan(self.counts[week + 1 :]).all(axis=0)

    def _before(self, week: int) -> np.ndarray:
        return self.counts[week - self.settings.compared_weeks : week]

    def _most(self, before: np.ndarray) -> np.ndarray:
        """Return the log change that is still plausible beside the usual one."""
        return self.settings.log_jump + self.settings.log_jump_small / np.sqrt(before + 1)

    def _usual(self, week: int) -> float:
        changes = np.log1p(self.counts[week]) - np.log1p(self.counts[week - 1])
        usual = common_change(changes[self._is_place], self.settings.fewest_locations)
        return usual if abs(usual) < self.settings.most_common else 0.0  # most have a fault

    def _replace(self, week: int, is_fault: np.ndarray, start: np.ndarray, usual: float, verb: str) -> None:
        expected = np.maximum(np.expm1(np.log1p(start) + usual), 0)
        for column in np.flatnonzero(is_fault):
            self._doubt(week, column, verb, f"the forecast takes it as {expected[column]:,.0f}")
            self._replaced.add((week, column))
        added = (expected - self.counts[week])[is_fault].sum()
        self.counts[week, is_fault] = expected[is_fault]
        self.counts[week, ~self._is_place] = np.maximum(self.counts[week, ~self._is_place] + added, 0)

    def _doubt(self, week: int, column: int, verb: str, consequence: str) -> None:
        before, now = self.counts[week - 1 : week + 1, column]
        expected = " (expected)" if (week - 1, column) in self._replaced else ""
        day = self.first_week + week * WEEK
        sentence = f"the week ending {day} {verb} from {before:,.0f}{expected} to {now:,.0f}; {consequence}"
        self.doubts.append(Doubt(self.locations[column], "fault", sentence))


def with_plausible_nation(
    counts: np.ndarray,
    reported: np.ndarray,
    locations: list[str],
    first_week: datetime.date,
    settings: FaultSettings,
) -> tuple[np.ndarray, list[Doubt]]:
    """Return counts whose nation fits the sum of its places, and a doubt if weeks of it were replaced.

    It cannot be far below the sum of some places, nor far above that of all. Unless a place is odd in the
    first such week, it then becomes their sum; where some are unknown, its count of the week before changes
    as the sum does.

    Parameters
    ----------
    counts : ndarray, shape (weeks, locations)
        Without faults of the places, which have changed the nation, too.
    reported : ndarray, shape (weeks, locations)
        As reported, for the doubt.
    """
    is_place = np.array([name != NATION for name in locations])
    if is_place.all() or not is_place.any():
        return counts, []
    places, nation = counts[:, is_place], counts[:, ~is_place][:, 0]
    has_all = set(hub_populations()) <= {*locations}
    is_whole = ~np.isnan(places).any(axis=1) & has_all
    least = np.nansum(places, axis=1)
    above = np.log1p(nation) - np.log1p(least)
    is_wrong = (above < -settings.nation_log) | (is_whole & (above > settings.nation_log))
    is_wrong &= np.fmax(nation, least) > settings.fewest
    is_odd = np.zeros(len(counts), dtype=bool)
    for week in np.flatnonzero(is_wrong):
        if week and not is_wrong[week - 1]:
            is_odd[week] = _is_nation_odd(week, nation, least, places, settings)
        else:  # as in the week before
            is_odd[week] = is_odd[week - 1] if week else True
    weeks = np.flatnonzero(is_odd)
    if not len(weeks):
        return counts, []
    expected = nation.copy()
    for week in weeks:
        expected[week] = least[week]
        if not is_whole[week] and week and least[week - 1] > 0 and expected[week - 1] > least[week - 1]:
            expected[week] *= expected[week - 1] / least[week - 1]
    corrected, last = counts.copy(), weeks[-1]
    corrected[:, ~is_place] = expected[:, None]
    now = np.where(np.isnan(reported), counts, reported)[last, ~is_place][0]
    others = f" (and {len(weeks) - 1} before it)" if len(weeks) > 1 else ""
    sentence = (
        f"the week ending {first_week + int(last) * WEEK}{others} is {now:,.0f}, which does not fit the "
        f"{least[last]:,.0f} of its states together; the forecast takes it as {expected[last]:,.0f}"
    )
    return corrected, [Doubt(NATION, "fault", sentence)]


def _is_nation_odd(
    week: int, nation: np.ndarray, total: np.ndarray, places: np.ndarray, settings: FaultSettings
) -> bool:
    """Return whether the nation, and not the sum of its places, left the course of most places in a week."""
    of_nation, of_total, of_places = (
        np.log1p(each[week]) - np.log1p(each[week - 1]) for each in (nation, total, places)
    )
    usual = common_change(of_places, settings.fewest_locations)
    return bool(abs(of_nation - usual) >= abs(of_total - usual))


def common_change(changes: np.ndarray, fewest_locations: int) -> float:
    """Return the median change [log] of the locations that have one; 0 with too few of them to know."""
    known = changes[~np.isnan(changes)]
    return float(np.median(known)) if len(known) >= fewest_locations else 0.0
