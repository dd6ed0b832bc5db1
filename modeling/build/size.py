"""How large a run is: refused where no machine can hold it, and warned of where it takes days."""

import datetime
import math
from dataclasses import dataclass

from modeling.bounds import MOST_WORKLOADS
from modeling.build.user_functions import has_functions
from modeling.build.warnings import Warnings
from modeling.calendars import intervals
from modeling.failures import UserError
from modeling.vocabulary.experiment import Experiment

STEP_SECONDS = 1e-7  # of one time step of a small model on one core
SLOW_STEP_SECONDS = 1e-4  # the same through epydemix, where functions of the author run
LONG_HOURS = 24  # on one core
COUNT_BYTES = 4
STEP_BYTES = 16  # of the trajectory that is being simulated: counts and their sums
LARGE_GIB = 16  # of the trajectories of one workload
MOST_GIB = 1024  # more than a machine has


@dataclass(frozen=True)
class RunSize:
    """What an experiment simulates and keeps.

    Attributes
    ----------
    populations : int
        Number of populations, with "all" counted in full.
    parts : int
        Number of workloads of a single ensemble.
    """

    experiment: Experiment
    populations: int
    parts: int

    @property
    def where_kept(self) -> str:
        """Where the experiment says how many trajectories it keeps: file and line."""
        if self.experiment.calibration:
            return self.experiment.where("modelset", "calibration", "projection")
        return self.experiment.where("model", "simulation", "n_sims")

    @property
    def first_day(self) -> datetime.date:
        """First simulated day, the earliest where it is drawn."""
        return self.experiment.first_day or self.experiment.drawn_start.reference_date

    @property
    def steps(self) -> float:
        """Number of time steps of a trajectory; 0 or less if it starts after its end."""
        timespan = self.experiment.model.timespan
        return ((timespan.end_date - self.first_day).days + 1) / timespan.delta_t

    @property
    def series(self) -> int:
        """Number of series of a trajectory."""
        model = self.experiment.model
        groups = len(model.population.age_groups) + 1
        return (len(model.compartments) + len(model.transition_names)) * groups

    @property
    def kept(self) -> int:
        """Number of trajectories of a parameter set whose counts are kept."""
        calibration = self.experiment.calibration
        if calibration is None:
            return self.experiment.model.trajectories
        return calibration.projection.n_trajectories if calibration.projection else 0

    @property
    def sets(self) -> int:
        """Number of parameter sets of a population."""
        sampling = self.experiment.modelset.sampling if self.experiment.modelset else None
        if sampling is None:
            return 1
        named = sampling.grid.parameters if sampling.grid else []
        points = math.prod(len(sampling.parameters[name].values) for name in named)
        return points * (sampling.hypercube.n_samples if sampling.hypercube else 1)

    @property
    def simulations(self) -> int:
        """Number of simulated trajectories, at least: how many draws are refused is not known yet."""
        calibration = self.experiment.calibration
        if calibration is None:
            return self.kept * self.sets * self.populations
        options = calibration.strategy.options
        # each particle takes one simulation at least
        particles = getattr(options, "num_particles", 0) * getattr(options, "num_generations", 1)
        return (self.kept + getattr(options, "Nsim", 0) + particles) * self.populations

    @property
    def gibibytes(self) -> float:
        """Memory of the counts of one workload [GiB]."""
        model, steps = self.experiment.model, max(self.steps, 0)
        frequency, end = model.resample_frequency, model.timespan.end_date
        dates = ()
        if frequency and steps:
            dates = intervals(self.first_day, end, model.timespan.delta_t, frequency)
        kept = self.kept / self.parts * (len(dates) or steps) * COUNT_BYTES
        return (kept + steps * STEP_BYTES) * self.series / 2**30


def check_size(size: RunSize) -> None:
    """Refuse a run that no machine can hold, before it allocates anything.

    Raises
    ------
    UserError
        Too many time steps, parameter sets or trajectories.
    """
    experiment, populations = size.experiment, size.populations
    if problem := experiment.model.step_count_problem(size.first_day):
        raise UserError(f"{experiment.where('model', 'timespan', 'delta_t')}: {problem}")
    if size.parts * populations > MOST_WORKLOADS:
        raise UserError(
            f"COUNT={size.parts} for {populations} populations is more than {MOST_WORKLOADS:,} workloads; "
            "lower it"
        )
    if size.sets * populations > MOST_WORKLOADS:
        raise UserError(
            f"{experiment.where('modelset', 'sampling')}: {size.sets:,} parameter sets for {populations} "
            f"populations are more than {MOST_WORKLOADS:,} workloads; sample fewer"
        )
    gibibytes = size.gibibytes
    if gibibytes > MOST_GIB:
        raise UserError(
            f"{size.where_kept}: {size.kept:,} trajectories of {size.steps:,.0f} time steps "
            f"and {size.series:,} series need {gibibytes:,.0f} GiB of memory, more than a "
            "machine has; ask for fewer trajectories, or set simulation.resample_frequency"
        )


def size_warnings(size: RunSize) -> Warnings:
    """Yield warnings of a run that takes a day of one core, or much memory for a result."""
    if size.steps <= 0:
        return
    kind, at = "model", ("simulation", "n_sims")
    if size.experiment.calibration:
        kind, at = "modelset", ("calibration", "strategy")
    step_seconds = SLOW_STEP_SECONDS if has_functions(size.experiment) else STEP_SECONDS
    hours = size.simulations * size.steps * step_seconds / 3600
    if hours > LONG_HOURS:
        yield (
            kind,
            at,
            f"{size.simulations:,} simulations of {size.steps:,.0f} steps take about {hours:,.0f} hours "
            "of one core, or more; ask for fewer, or spread them over many machines",
        )
    if size.gibibytes > LARGE_GIB:
        yield (
            kind,
            at,
            f"the {size.kept:,} trajectories of one result need about {size.gibibytes:,.0f} GiB of memory",
        )
