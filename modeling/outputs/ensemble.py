"""The trajectories of one set of fixed parameters, joined from the results that hold its parts."""

import tempfile
from typing import BinaryIO

import numpy as np

from modeling.failures import UserError
from modeling.workload import Result, Trajectories

SPILLED = np.dtype(np.int64)


class Ensemble:
    """All trajectories of one set of fixed parameters, joined from the parts of a split ensemble.

    Parts are kept in a temporary file, series by series, so that memory holds one part and one series.

    Parameters
    ----------
    first : Result
        Trajectories of whole intervals.
    simulated : Trajectories, optional
        The same trajectories with the partial intervals at their start and end.
    """

    def __init__(self, first: Result, simulated: Trajectories | None = None):
        self.primary_id, self.seed = first.primary_id, first.seed
        self.population, self.population_name = first.population, first.population_name
        self.set_index, self.set_count = first.set_index, first.set_count
        self.delta_t_days, self.expected = first.delta_t_days, first.expected
        self.parameters, self.initial = first.parameters, first.initial
        self.changes = first.changes
        self.dates = first.trajectories.dates
        self.compartments = first.trajectories.compartments
        self.transitions = first.trajectories.transitions
        self.count = 0
        self._total = first.ensemble_total
        self._names = {name: i for i, name in enumerate((*self.compartments, *self.transitions))}
        self._whole: Trajectories | None = None
        self._simulated = simulated
        self._spill: BinaryIO | None = None
        self.add(first)

    def add(self, part: Result) -> None:
        """Join a part.

        Raises
        ------
        UserError
            Its dates or series are not those of the other parts.
        """
        if not np.array_equal(part.trajectories.dates, self.dates):
            raise UserError(f"result {part.index}: its dates are not those of the rest of its ensemble")
        if (part.trajectories.compartments, part.trajectories.transitions) != (
            self.compartments,
            self.transitions,
        ):
            raise UserError(f"result {part.index}: its series are not those of the rest of its ensemble")
        if part.trajectories.count == self._total:
            self._whole = part.trajectories
        else:
            self._write_part(part.trajectories)
        self.count += part.trajectories.count

    def series(self, name: str) -> np.ndarray:
        """Return one series, shape (trajectories, dates)."""
        if self._whole is not None:
            return self._whole.series(name)
        self._spill.seek(self._offset(self._names[name], 0))
        counts = np.fromfile(self._spill, dtype=SPILLED, count=self.count * len(self.dates))
        return counts.reshape(self.count, len(self.dates))

    def since_start(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return dates and one series from the first simulated day to the last whole interval.

        Unlike `series` it includes the partial interval of the start, because nobody moves before that.
        The parts of a split ensemble do not keep that interval: there it is the same as `series`. So it is
        not for tables, which are the same for whole and split ensembles.
        """
        if self._whole is None or self._simulated is None:
            return self.dates, self.series(name)
        dates = self._simulated.dates
        stop = int(np.searchsorted(dates, self.dates[-1], side="right")) if len(self.dates) else 0
        return dates[:stop], self._simulated.series(name)[:, :stop]

    def _write_part(self, part: Trajectories) -> None:
        if self._spill is None:
            self._spill = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the ensemble
        for name, row in self._names.items():
            self._spill.seek(self._offset(row, self.count))
            self._spill.write(part.series(name).astype(SPILLED).tobytes())
        self._spill.flush()

    def _offset(self, series: int, trajectory: int) -> int:
        return (series * self._total + trajectory) * len(self.dates) * SPILLED.itemsize
