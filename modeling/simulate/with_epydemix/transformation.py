"""A post hoc transformation: a function of the author that changes trajectories after they are simulated.

It gets each trajectory on its reported dates, before comparison and projection, as epydemix's Trajectory, and
may change series and add others.
"""

import datetime
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from epydemix.model.simulation_output import Trajectory

from modeling.bounds import LARGEST_NUMBER
from modeling.failures import UserError, listed
from modeling.plain_text import excerpt
from modeling.result_checks import MOST_ADDED_SERIES
from modeling.simulate.with_epydemix.simulator import Path, Simulator
from modeling.simulate.with_epydemix.user_functions import LoadedFunction
from modeling.workload import Calibrate, Observed, Workload

COLUMNS = ("primary_id", "sim_id", "seed", "population", "date", "quantile")  # of the tables, beside series
NAME = re.compile(r"[\w.+-]{1,80}")


class Transformation:
    """What happens to trajectories after they are simulated; nothing, where a calibration has no function.

    Parameters
    ----------
    workload : Workload
        Of a calibration.

    Attributes
    ----------
    compartments, transitions : list of str
        Names of the series of a transformed trajectory: the model's, then those that are added,
        which are known after the first trajectory.
    changed : bool
        Whether a series of the model was changed in any trajectory.
    """

    def __init__(self, workload: Workload, simulator: Simulator):
        task: Calibrate = workload.task
        self._workload, self._simulator = workload, simulator
        self._function = LoadedFunction(task.post_hoc) if task.post_hoc else None
        self._takes_context = self._function is not None and self._function.takes("context")
        self._own = {"compartments": simulator.plan.compartment_series}
        self._own["transitions"] = simulator.plan.transition_series
        self._observed = _table(task.observed)
        self._added: dict[str, list[str]] | None = None
        self.changed = False

    @property
    def is_used(self) -> bool:
        return self._function is not None

    @property
    def name(self) -> str:
        """What the report calls the function; "" without one."""
        return f"{self._function.name} of {self._function.script}" if self._function else ""

    @property
    def compartments(self) -> list[str]:
        return self._own["compartments"] + self.added("compartments")

    @property
    def transitions(self) -> list[str]:
        return self._own["transitions"] + self.added("transitions")

    def added(self, kind: str) -> list[str]:
        """Return the names of the added series of a kind, "compartments" or "transitions"."""
        return self._added[kind] if self._added else []

    def apply(self, path: Path, draw: dict[str, float], start: datetime.date, projection: bool) -> Path:
        """Return a transformed trajectory, with a row for each series in `compartments` and `transitions`.

        Parameters
        ----------
        start : date
            First simulated day.
        projection : bool
            Whether the trajectory is one of the projections.

        Raises
        ------
        UserError
            The function raised an exception, or returned something else than such a trajectory.
        """
        if self._function is None:
            return path
        given = self._trajectory(path, draw)
        named = {"context": self._context(given, draw, start, projection)} if self._takes_context else {}
        returned = self._function(given, **named)
        if not isinstance(returned, Trajectory):
            raise self._error(f"returned {type(returned).__name__}; return the trajectory")
        for kind in self._own:
            if not isinstance(getattr(returned, kind), dict):
                raise self._error(f"replaced the dictionary {kind}; change its series instead")
        if self._added is None:
            self._added = self._added_names(returned)
        people = self._series(returned, "compartments", path)
        moved = self._series(returned, "transitions", path)
        count = len(self._own["compartments"])
        self.changed |= not np.array_equal(people[:count], path.in_compartments)
        self.changed |= not np.array_equal(moved[: len(self._own["transitions"])], path.by_transition)
        # before its start, an added series is as on the first reported date
        initial = np.concatenate([path.initial, people[count:, 0]])
        return replace(path, in_compartments=people, by_transition=moved, initial=initial)

    def _trajectory(self, path: Path, draw: dict[str, float]) -> Trajectory:
        """Return a trajectory as epydemix's; its arrays are copies, of float so that they can be scaled."""
        plan = self._simulator.plan
        people, moved = path.in_compartments.astype(float), path.by_transition.astype(float)
        return Trajectory(
            compartments=dict(zip(self._own["compartments"], people, strict=True)),
            transitions=dict(zip(self._own["transitions"], moved, strict=True)),
            dates=list(pd.DatetimeIndex(path.dates)),
            compartment_idx={name: index for index, name in enumerate(plan.compartments)},
            transitions_idx={name: index for index, name in enumerate(plan.transitions)},
            parameters={**self._simulator.values(draw), **draw},
        )

    def _context(
        self, given: Trajectory, draw: dict[str, float], start: datetime.date, projection: bool
    ) -> dict:
        workload = self._workload
        end = workload.end_date if projection else workload.task.fit_end
        return {
            "params": dict(given.parameters),
            "timespan": SimpleNamespace(start_date=start, end_date=end, delta_t=workload.plan.delta_t_days),
            "observed_data": self._observed.copy(),
            "projection": projection,
            "location": workload.population,
        }

    def _added_names(self, returned: Trajectory) -> dict[str, list[str]]:
        """Return the names of the added series; refuse those that tables cannot have."""
        added = {
            kind: [name for name in getattr(returned, kind) if name not in own]
            for kind, own in self._own.items()
        }
        everything = added["compartments"] + added["transitions"]
        known = {*self._own["compartments"], *self._own["transitions"], *COLUMNS}
        for name in everything:
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise self._error(
                    f"added the series {excerpt(repr(name), 80)}; use letters, digits and _ . + -"
                )
            if name in known or everything.count(name) > 1:
                raise self._error(f'added the series "{name}", whose name is taken; choose another')
        if len(everything) > MOST_ADDED_SERIES:
            raise self._error(f"added {len(everything)} series; {MOST_ADDED_SERIES} at most")
        return added

    def _series(self, returned: Trajectory, kind: str, path: Path) -> np.ndarray:
        """Return the series of a kind as rows, in the order of all trajectories."""
        found, names = getattr(returned, kind), self._own[kind] + self.added(kind)
        if set(found) != set(names):
            odd = sorted(map(str, set(found) ^ set(names)))
            raise self._error(
                f"did not return the same {kind} for each trajectory: {excerpt(listed(odd), 200)}"
            )
        rows = np.empty((len(names), len(path.dates)))
        for row, name in zip(rows, names, strict=True):
            row[:] = self._values(found[name], name, len(path.dates))
        return rows

    def _values(self, given: Any, name: str, dates: int) -> np.ndarray:
        try:
            values = np.asarray(given, dtype=float)
        except Exception:  # of any kind, from a class of the script
            raise self._error(f'"{name}" does not hold numbers') from None
        if values.shape != (dates,):
            raise self._error(
                f'"{name}" has shape {values.shape}; one number for each of {dates} dates is needed'
            )
        wrong = values[~((values >= 0) & (values <= LARGEST_NUMBER))]
        if len(wrong):
            raise self._error(f'"{name}" holds {wrong[0]:g}; counts are numbers from 0 to {LARGEST_NUMBER:g}')
        return values

    def _error(self, problem: str) -> UserError:
        return UserError(f"{self._function.script}: {self._function.name} {problem}")


def _table(observed: list[Observed]) -> pd.DataFrame:
    """Return the observed series with a column "date" and one for each series."""
    series = {each.label: pd.Series(each.values, index=pd.DatetimeIndex(each.dates)) for each in observed}
    return pd.DataFrame(series).rename_axis("date").reset_index()
