"""The guard against faults of the data: jumps in the newest weeks that no epidemic makes.

Hospitals that do not report make a week far too low; corrected weeks and double counts make one far too high.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from modeling.forecast.panel import NATION
from modeling.forecast.settings import FaultSettings
from modeling.forecast_records import WEEK, Doubt


def without_faults(
    counts: np.ndarray, locations: list[str], first_week: datetime.date, settings: FaultSettings
) -> tuple[np.ndarray, list[Doubt]]:
    """Return counts in which implausible jumps of the newest weeks are replaced, and a doubt for each.

    First the drops are replaced, oldest first, then a rise in the newest week: so the week after a drop is
    not taken for a rise. An older rise gives a doubt but stays, since it was not corrected meanwhile. The
    nation changes by as much as its states do; its own jumps are not judged.

    Parameters
    ----------
    counts : ndarray, shape (weeks, locations)
        Interpolated; a week is not judged if it, or one that it is compared with, is nan.
    """
    guard = _Guard(counts.copy(), locations, first_week, settings)
    last = len(counts) - 1
    compared = settings.compared_weeks
    for week in range(max(last + 1 - settings.drop_weeks, compared), last + 1):
        guard.replace_drops(week)
    if last >= compared:
        guard.replace_rises(last)
    for week in range(max(last + 1 - settings.rise_weeks, compared), last):
        guard.doubt_rises(week)
    return guard.counts, guard.doubts


@dataclass
class _Guard:
    counts: np.ndarray
    locations: list[str]
    first_week: datetime.date
    settings: FaultSettings

    def __post_init__(self):
        self.doubts: list[Doubt] = []
        self._is_place = np.array([name != NATION for name in self.locations])

    def replace_drops(self, week: int) -> None:
        lowest = self._before(week).min(axis=0)
        usual = self._usual(week)
        drop = np.log1p(self.counts[week]) - np.log1p(lowest)
        is_fault = (drop < usual - self._most(lowest)) & (lowest > self.settings.fewest) & self._is_place
        self._replace(week, is_fault, self.counts[week - 1], usual, "drops")

    def replace_rises(self, week: int) -> None:
        is_fault, usual = self._rises(week)
        self._replace(week, is_fault, self._before(week).max(axis=0), usual, "rises")

    def doubt_rises(self, week: int) -> None:
        is_fault, _ = self._rises(week)
        for column in np.flatnonzero(is_fault):
            self._doubt(week, column, "rises", "the forecast takes it as it is")

    def _rises(self, week: int) -> tuple[np.ndarray, float]:
        highest = self._before(week).max(axis=0)
        usual = self._usual(week)
        rise = np.log1p(self.counts[week]) - np.log1p(highest)
        is_large = self.counts[week] > self.settings.fewest
        return (rise > usual + self._most(highest)) & is_large & self._is_place, usual

    def _before(self, week: int) -> np.ndarray:
        return self.counts[week - self.settings.compared_weeks : week]

    def _most(self, before: np.ndarray) -> np.ndarray:
        """Return the log change that is still plausible beside the usual one."""
        return self.settings.log_jump + self.settings.log_jump_small / np.sqrt(before + 1)

    def _usual(self, week: int) -> float:
        changes = np.log1p(self.counts[week]) - np.log1p(self.counts[week - 1])
        return common_change(changes[self._is_place], self.settings.fewest_locations)

    def _replace(self, week: int, is_fault: np.ndarray, start: np.ndarray, usual: float, verb: str) -> None:
        expected = np.maximum(np.expm1(np.log1p(start) + usual), 0)
        for column in np.flatnonzero(is_fault):
            self._doubt(week, column, verb, f"the forecast takes it as {expected[column]:,.0f}")
        added = (expected - self.counts[week])[is_fault].sum()
        self.counts[week, is_fault] = expected[is_fault]
        self.counts[week, ~self._is_place] = np.maximum(self.counts[week, ~self._is_place] + added, 0)

    def _doubt(self, week: int, column: int, verb: str, consequence: str) -> None:
        before, now = self.counts[week - 1 : week + 1, column]
        day = self.first_week + week * WEEK
        sentence = f"the week ending {day} {verb} from {before:,.0f} to {now:,.0f}; {consequence}"
        self.doubts.append(Doubt(self.locations[column], "fault", sentence))


def common_change(changes: np.ndarray, fewest_locations: int) -> float:
    """Return the median change [log] of the locations that have one; 0 with too few of them to know."""
    known = changes[~np.isnan(changes)]
    return float(np.median(known)) if len(known) >= fewest_locations else 0.0
