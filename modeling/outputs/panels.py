"""What charts and report show of a run, as one panel a population: a few curves and numbers.

Finished panels wait in a temporary file, so that the memory of stage C does not grow with the populations.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from modeling.workload import Observed

LEVELS = [0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975]


@dataclass(frozen=True)
class Fan:
    """Quantile curves. `curves` has shape (LEVELS, dates)."""

    dates: np.ndarray
    curves: np.ndarray


@dataclass(frozen=True)
class Peaks:
    """The highest value of each trajectory, and its date: quantiles at 0.05, 0.5 and 0.95 of each."""

    values: tuple[float, float, float]
    dates: tuple[np.datetime64, np.datetime64, np.datetime64]
    where: str  # "peak", or what most trajectories do instead: "still rising at the end", ...


@dataclass
class SeriesPanel:
    """One chart: a simulated series and, if there is one, the observed series it is compared with."""

    label: str
    observed: Observed | None = None
    fit: Fan | None = None
    projection: Fan | None = None
    lines: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # dates, median of a set
    peaks: Peaks | None = None
    set_peaks: list[Peaks] = field(default_factory=list)  # of the medians in `lines`
    can_peak: bool = True  # False if people only enter, or only leave


@dataclass(frozen=True)
class SetRow:
    """What distinguishes one parameter set in the report. Its peaks are in each series' `set_peaks`."""

    number: int
    values: dict[str, float | str]


@dataclass(frozen=True)
class Posterior:
    """One parameter's marginal posterior: weighted quantiles at 0.05, 0.5, 0.95 and a histogram."""

    name: str
    low: float
    median: float
    high: float
    edges: np.ndarray
    density: np.ndarray


@dataclass(frozen=True)
class GenerationRow:
    """One generation of a calibration in the report.

    Attributes
    ----------
    epsilon : float or None
        None where nothing limits the distances, and in results of epydemix.
    simulations : int
        Of which `accepted` came; 0 where they were not counted.
    """

    number: int
    epsilon: float | None
    largest_distance: float
    accepted: int
    simulations: int
    effective: float  # sample size

    @property
    def acceptance(self) -> float | None:
        """Accepted share of the simulations [%]; None where they were not counted."""
        return 100 * self.accepted / self.simulations if self.simulations else None


@dataclass
class Panel:
    """One population in the charts and the report."""

    population: str
    population_name: str
    kind: str  # simulation, sampling or calibration
    series: list[SeriesPanel]
    trajectories: int = 0
    sets: int = 1  # in the report
    missing_sets: int = 0
    set_rows: list[SetRow] = field(default_factory=list)
    posteriors: list[Posterior] = field(default_factory=list)
    generations: list[GenerationRow] = field(default_factory=list)
    simulations: int = 0
    stopped_by: str = ""
    changes: tuple[str, ...] = ()  # over time


class Panels:
    """The panels of a run, one a population, in the order in which the populations came.

    They can be iterated over as often as needed; each time, every panel is read again from a file.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the panels
        self._places: dict[str, int] = {}

    def put(self, panel: Panel) -> None:
        """Keep a panel, in place of an earlier one of its population."""
        self._places[panel.population] = self._file.seek(0, 2)
        pickle.dump(panel, self._file, protocol=5)

    @property
    def populations(self) -> list[str]:
        return list(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Panel]:
        for place in self._places.values():
            self._file.seek(place)
            yield pickle.load(self._file)  # written above, and the file has no name
