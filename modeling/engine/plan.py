"""A compiled plan: a model whose trajectories are simulated many at a time.

    plan = compile_plan(model, first_day, last_day)
    observables = Observables(["I_total"], [["S_to_I_total"]])
    done = plan.simulate({"beta": betas}, Keys(stream, particles), starts, observables)

steps.py has the kernel, binomial.py the draws. A model means what it means to epydemix, except for
doses (doses.py) and changes over time (over_time.py).
"""

import datetime
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from modeling.engine.arrays import (
    END_NOW,
    FIRST_UNUSED,
    STATUS,
    STEPS,
    STOPPED,
    WHOLE,
    WHOLES,
    Batch,
    Lanes,
    Look,
    Model,
    Out,
    new_lanes,
)
from modeling.engine.batches import batch_arrays, look_arrays, model_arrays
from modeling.engine.cuda.device import gpu_for
from modeling.engine.doses import UnusedDoses
from modeling.engine.machine_code import Kernel
from modeling.engine.observables import DistanceBound, Observables
from modeling.engine.starts import Starts, StartTable
from modeling.engine.structure import structure_of
from modeling.engine.values import rate_values
from modeling.initial import people_of_plan
from modeling.plan_checks import check_plan
from modeling.threads import usable_threads
from modeling.workload import ModelPlan

MOST_LANES = 512
LEAST_LANES = 8
_run_lanes = Kernel(
    "modeling.engine.steps", "run_lanes", Model, Batch, Look, Lanes, Out, WHOLES, np.uint64, bool
)
MOST_PARTICLES = 2**32  # numbers of a stream


@dataclass(frozen=True)
class Keys:
    """What the random numbers of a batch depend on.

    Attributes
    ----------
    stream : int
        64 bits, from modeling.randomness.stream_key.
    particles : ndarray of int, shape (particles,)
        Number of each particle in the stream, from 0 to 2**32 - 1.
    """

    stream: int
    particles: np.ndarray


class Simulated(NamedTuple):
    """The outcome of a batch; integers, or floats in deterministic mode.

    Attributes
    ----------
    in_compartments : ndarray, shape (particles, rows, dates)
        People at the end of each reported date's last step. Before a particle's first day, those on it.
    by_transition : ndarray, shape (particles, rows, dates)
        People who moved since the date before.
    initial : ndarray, shape (particles, rows)
        People on the first day.
    stopped : ndarray of bool, shape (particles,)
        Stopped early by the bound, so that its counts are not whole.
    steps : ndarray of int, shape (particles,)
        Simulated time steps.
    infeasible : dict of int to str
        Why particles cannot be simulated, by position; their counts are 0.
    unused : UnusedDoses
        Of the particles that were simulated to the end.
    """

    in_compartments: np.ndarray
    by_transition: np.ndarray
    initial: np.ndarray
    stopped: np.ndarray
    steps: np.ndarray
    infeasible: dict[int, str]
    unused: UnusedDoses


def compile_plan(model: ModelPlan, first_day: datetime.date, last_day: datetime.date) -> "CompiledPlan":
    """Return a model ready to be simulated from `first_day`, or later days, to `last_day`.

    Raises
    ------
    UserError
        The model cannot be compiled; the message says what and where.
    """
    return CompiledPlan(model, first_day, last_day)


class CompiledPlan:
    """A model over one population and period, ready to be simulated; see compile_plan.

    Attributes
    ----------
    dates : ndarray of datetime64[s], shape (dates,)
        Reported dates of a trajectory from the first day.
    """

    def __init__(self, model: ModelPlan, first_day: datetime.date, last_day: datetime.date):
        check_plan(model)
        self.model = model
        self.starts = Starts(model, first_day, last_day)
        self.dates = self.starts.dates
        self._structure = structure_of(model)
        self._memory: deque[np.ndarray] = deque(maxlen=1)

    def simulate(
        self,
        parameters: Mapping[str, np.ndarray],
        keys: Keys,
        starts: np.ndarray | None,
        observables: Observables,
        *,
        bound: DistanceBound | None = None,
        threads: int | None = None,
        lanes: int | None = None,
        deterministic: bool = False,
        device: str | None = None,
    ) -> Simulated:
        """Simulate a batch of particles.

        The counts of a particle depend on the model, its parameters, its first day and its key alone.

        Parameters
        ----------
        parameters : mapping of str to ndarray of float, shape (particles,)
            Drawn parameters, and people of drawn compartments.
        starts : ndarray of int, shape (particles,), or None
            First simulated day, in days after the plan's.
        threads : int, optional
            By default as many as the process may use (modeling/threads.py).
        lanes : int, optional
            Particles that a thread simulates at a time: a power of two from 8 to 512.
        deterministic : bool
            Whether each draw returns its mean.
        device : str, optional
            "cpu" or "cuda", an NVIDIA GPU; by default what use_device() has chosen (cuda/device.py).

        Raises
        ------
        UserError
            Unknown series, a parameter without a value, or a fixed one that cannot be right.
        ValueError
            An array has not one value a particle, or lanes or threads are not possible.
        """
        if threads is not None and threads < 1:
            raise ValueError(f"{threads} threads are outside 1 and more")
        ready = self._ready(parameters, keys, starts, observables, bound)
        out = ready.new_out(len(self.dates))
        if gpu := gpu_for(device):
            gpu.run(ready.model, ready.batch, ready.look, out, keys.stream, deterministic)
        else:
            _run(ready, out, keys.stream, threads, lanes, deterministic)
        self._memory.append(ready.batch.values.base)
        return self._simulated(ready, out, deterministic)

    def _ready(
        self,
        parameters: Mapping[str, np.ndarray],
        keys: Keys,
        starts: np.ndarray | None,
        observables: Observables,
        bound: DistanceBound | None,
    ) -> "_Ready":
        particles = np.asarray(keys.particles)
        number = len(particles)
        _check_particles(particles, parameters, starts)
        days = np.zeros(number, dtype=np.int64) if starts is None else np.asarray(starts, dtype=np.int64)
        parameters = {name: np.asarray(values, dtype=float) for name, values in parameters.items()}
        table = self.starts.table(days)
        found = rate_values(
            self.model,
            parameters,
            self.starts.first_day,
            table.first_point[table.start],
            self.starts.num_points,
        )
        initial, missing = people_of_plan(self.model, parameters, number)
        infeasible = missing | found.infeasible
        rates = [_coefficient(each, found.rates) for each in self._structure.coefficients]
        batch = batch_arrays(self.starts, table, particles, rates, initial, infeasible, self._take_memory())
        return _Ready(
            model=model_arrays(self._structure, self.starts, batch.coefficients),
            batch=batch,
            look=look_arrays(
                self._structure,
                table,
                len(self.dates),
                observables.compartments,
                observables.transitions,
                bound,
            ),
            table=table,
            infeasible=infeasible,
        )

    def _take_memory(self) -> np.ndarray:
        """Return the memory of an earlier batch, if no other thread has taken it: pop() is one step."""
        try:
            return self._memory.pop()
        except IndexError:
            return np.empty(0)

    def _simulated(self, ready: "_Ready", out: Out, is_mean: bool) -> Simulated:
        table, is_simulated = ready.table, ready.batch.start >= 0
        initial = ready.initial()
        for start, column in enumerate(table.first_column):
            chosen = (table.start == start) & is_simulated
            out.people[chosen, :, :column] = initial[chosen, :, None]
        for start, column, earlier in table.repeated:
            chosen = table.start == start
            out.people[chosen, :, column] = out.people[chosen, :, earlier]
        counts = (out.people, out.moved, initial)
        if not is_mean:
            counts = tuple(_whole_numbers(each) for each in counts)
        return Simulated(
            *counts,
            stopped=out.ends[:, STATUS] == STOPPED,
            steps=out.ends[:, STEPS],
            infeasible=ready.infeasible,
            unused=self._unused(table, out),
        )

    def _unused(self, table: StartTable, out: Out) -> UnusedDoses:
        """Return the doses that are due when fewer people are eligible, of the particles that ended."""
        if not self._structure.eligible:
            return UnusedDoses()
        is_whole, first = out.ends[:, STATUS] == WHOLE, out.ends[:, FIRST_UNUSED]
        short = np.flatnonzero(is_whole & (first >= 0))
        begins = {(int(table.days[table.start[p]]), int(first[p])) for p in short}
        earliest = min((self.starts.date_of_step(*begin) for begin in begins), default=None)
        return UnusedDoses(int(is_whole.sum()), len(short), float(out.unused[short].sum()), earliest)


class _Ready(NamedTuple):
    """A batch, ready for the kernel."""

    model: Model
    batch: Batch
    look: Look
    table: StartTable
    infeasible: dict[int, str]

    def new_out(self, num_dates: int) -> Out:
        number = len(self.batch.particles)
        return Out(
            people=np.zeros((number, len(self.look.first_of_people) - 1, num_dates)),
            moved=np.zeros((number, len(self.look.first_of_moved) - 1, num_dates)),
            ends=np.full((number, 3), (0, 0, -1), dtype=np.int64),
            unused=np.zeros(number),
        )

    def initial(self) -> np.ndarray:
        """Return the people of the observed compartments on the first day, shape (particles, observables)."""
        first, people = self.look.first_of_people, self.look.people
        sums = np.zeros((len(self.batch.initial), len(first) - 1))
        for observable in range(len(first) - 1):
            rows = people[first[observable] : first[observable + 1]]
            sums[:, observable] = self.batch.initial[:, rows].sum(axis=1)
        return np.broadcast_to(sums, (len(self.batch.particles), len(first) - 1))


def _run(ready: _Ready, out: Out, stream: int, threads: int | None, lanes: int | None, is_mean: bool) -> None:
    """Simulate with as many threads as there is work for; each takes the next particle of the batch."""
    number = len(ready.batch.particles)
    if not number:
        return
    threads = min(threads or usable_threads(), -(-number // LEAST_LANES))
    shift = _shift(lanes or _lanes_for(number, threads))
    counter = np.zeros(1, dtype=np.int64)
    _run_lanes.load()

    def work(_: int) -> None:
        own = new_lanes(shift, ready.model, ready.batch, ready.look)
        _run_lanes(ready.model, ready.batch, ready.look, own, out, counter, np.uint64(stream), is_mean)

    # even one thread beside the main one: that alone answers Ctrl-C, and not from within the kernel
    with ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(work, range(threads)))
        except BaseException:
            counter[0] = END_NOW
            raise


def _coefficient(rate: float | str, rates: Mapping[str, np.ndarray]) -> np.ndarray:
    return rates[rate] if isinstance(rate, str) else np.full((1, 1, 1), float(rate))


def _check_particles(
    particles: np.ndarray, parameters: Mapping[str, np.ndarray], starts: np.ndarray | None
) -> None:
    """Refuse what the kernel would read beyond its end, or as the value of another particle."""
    is_whole = particles.dtype.kind in "iu"
    if particles.size and not (is_whole and 0 <= particles.min() <= particles.max() < MOST_PARTICLES):
        raise ValueError(f"a particle's number is outside 0 to {MOST_PARTICLES - 1}, or not a whole one")
    for name, values in {**parameters, "starts": particles if starts is None else starts}.items():
        if np.shape(values) != (len(particles),):
            raise ValueError(f"{name} has shape {np.shape(values)} for {len(particles)} particles")


def _shift(lanes: int) -> int:
    """Return the binary logarithm of a number of lanes."""
    shift = lanes.bit_length() - 1
    if not LEAST_LANES <= lanes <= MOST_LANES or lanes != 1 << shift:
        raise ValueError(f"{lanes} lanes: not a power of two from {LEAST_LANES} to {MOST_LANES}")
    return shift


def _whole_numbers(counts: np.ndarray) -> np.ndarray:
    """Return counts as integers of 32 bits where they fit: one may move several times between two dates."""
    return counts.astype(np.int32 if counts.max(initial=0) < 2**31 else np.int64)


def _lanes_for(number: int, threads: int) -> int:
    """Return the number of lanes: enough for vectors, and few enough that no thread is idle."""
    share = max(LEAST_LANES, number // threads)
    return min(MOST_LANES, 1 << (share.bit_length() - 1))
