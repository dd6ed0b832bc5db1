"""The submission of several calibrations: each gives one location, and together they give the nation.

Results stream by, so of each location only its quantiles and probabilities are kept, and of the nation one
sum of trajectories.
"""

import datetime
from pathlib import Path

import numpy as np

from modeling import hubs
from modeling.failures import UserError, listed
from modeling.forecast_records import Quantiles
from modeling.outputs.quantiles import quantiles
from modeling.outputs.rate_changes import THRESHOLDS, category_probabilities
from modeling.outputs.submission import before_notes, write_submission
from modeling.populations import locations_by_fips
from modeling.vocabulary.output import HubFormat

MOST_NAMED = 20  # jurisdictions in a note


class Nation:
    """Adds up the trajectories of the jurisdictions to those of the nation, paired by rank.

    Calibrations are independent of each other, so trajectory i of one state has nothing to do with trajectory
    i of another. Added up by index, the errors of 52 states would cancel out, and the national interval would
    be far too narrow: real forecasts err in the same direction everywhere in the same week. So the
    trajectories of each state are ordered by their total over the forecast weeks, and those of equal rank are
    added up: the highest national trajectory is the sum of the highest of each state.

    This is the strongest dependence there is between the states, so the interval of the national total is as
    wide as the states allow; the medians add up. It does not show that one region may rise while another
    falls. docs/outputs.md says how it did on forecasts of 2024-25.

    Attributes
    ----------
    counts : ndarray, shape (trajectories, weeks), or None
        Sum so far, the lowest total first. Has as many trajectories as the first jurisdiction.
    """

    def __init__(self):
        self.counts: np.ndarray | None = None

    def add(self, counts: np.ndarray) -> None:
        """Add the trajectories of a jurisdiction.

        Parameters
        ----------
        counts : ndarray, shape (trajectories, weeks)
            If there are more or fewer than of the first one, those at the same relative ranks are taken.
        """
        ordered = counts[np.argsort(counts.sum(axis=1), kind="stable")]
        if self.counts is None:
            self.counts = ordered
            return
        wanted, given = len(self.counts), len(counts)
        self.counts = self.counts + ordered[(2 * np.arange(wanted) + 1) * given // (2 * wanted)]


class CalibratedSubmission:
    """Gathers the forecasts of calibrations, and writes them as one submission.

    Parameters
    ----------
    wanted : HubFormat
        With the names of team and model.

    Attributes
    ----------
    locations : list of str
        Those that have a forecast so far.
    """

    def __init__(self, wanted: HubFormat):
        self.wanted, self._nation = wanted, Nation()
        self._reference: datetime.date | None = None
        self.locations: list[str] = []
        self._quantiles: list[np.ndarray] = []  # of each location, shape (5, 23)
        self._probabilities: list[np.ndarray] = []  # shape (4, 5)
        self._before: list[float] = []
        self._measured: list[float] = []  # the same, and the median of horizon -1 where it is not known

    def add(
        self, reference: datetime.date, location: str, by_horizon: dict[int, np.ndarray], before: float
    ) -> None:
        """Take the forecast of one location.

        Parameters
        ----------
        by_horizon : dict of int to ndarray, shape (trajectories,)
            Counts of the forecast weeks.
        before : float
            Last known count of the week before the reference date; nan if it is not known.

        Raises
        ------
        UserError
            A horizon is missing.
        """
        if missing := [horizon for horizon in hubs.HORIZONS if horizon not in by_horizon]:
            raise UserError(
                f"a submission needs horizons -1 to 3, and location {location} is without "
                f"{hubs.named_horizons(reference, missing)}; change reference_date, or leave out team and "
                "model"
            )
        self._reference = reference
        counts = np.stack([by_horizon[horizon] for horizon in hubs.HORIZONS], axis=1)
        self._put(location, counts, before, before)
        if location != hubs.NATION:
            self._nation.add(counts)

    def write(self, folder: Path) -> tuple[Path, list[str]]:
        """Write the submission, with the nation if all jurisdictions are there; return its path and notes.

        Raises
        ------
        UserError
            The hub would not take it.
        """
        notes = []
        missing = sorted(set(hubs.hub_populations()) - {hubs.NATION, *self.locations})
        if hubs.NATION not in self.locations:
            if missing:
                notes.append(
                    f"the submission has no row of {hubs.NATION}: {len(missing)} of the "
                    f"{len(hubs.hub_populations()) - 1} jurisdictions are not there: {_by_iso_code(missing)}"
                )
            else:
                self._put(hubs.NATION, self._nation.counts, sum(self._before), sum(self._measured))
                notes.append(
                    f"{hubs.NATION} of the submission is the sum of all jurisdictions, their trajectories "
                    "paired by rank"
                )
        before = np.array(self._before)
        if self.wanted.hub is hubs.FLUSIGHT:
            notes += before_notes(self._reference, self.locations, before)
        populations = hubs.hub_populations()
        path = write_submission(
            folder,
            Quantiles(self._reference, np.stack(self._quantiles, axis=1)),
            self.locations,
            np.array([populations[location] for location in self.locations]),
            before,
            self.wanted.team,
            self.wanted.model,
            hub=self.wanted.hub,
            probabilities=np.stack(self._probabilities, axis=1),
        )
        return path, notes

    def _put(self, location: str, counts: np.ndarray, before: float, measured: float) -> None:
        """Keep what the rows of a location are made from; `counts` has shape (trajectories, 5)."""
        levels = np.rint(quantiles(counts, hubs.QUANTILES)).T
        if np.isnan(measured):
            measured = levels[hubs.HORIZONS.index(-1), hubs.MEDIAN]
        people = hubs.hub_populations()[location]
        shares = [
            list(category_probabilities(counts[:, hubs.HORIZONS.index(h)] - measured, people, h).values())
            for h in THRESHOLDS
        ]
        self.locations.append(location)
        self._quantiles.append(levels)
        self._probabilities.append(np.array(shares))
        self._before.append(before)
        self._measured.append(measured)


def _by_iso_code(fips: list[str]) -> str:
    """Return places as the experiment names them, for a note."""
    return listed((locations_by_fips()[each].iso for each in fips), MOST_NAMED)
