"""epydemix's ABCSampler, made to stop when no draw can be accepted, and to take any prior.

progress.py decides when it stops. Only calibrate() imports this module: epydemix.calibration loads slowly.
"""

import numpy as np
from epydemix.calibration import ABCSampler
from epydemix.utils.abc_smc_utils import DefaultPerturbationContinuous, DefaultPerturbationDiscrete

from modeling.simulate.progress import Progress, check_weights


class StoppingSampler(ABCSampler):
    """An ABCSampler that stops when its progress reaches a limit, or can reach no further."""

    def __init__(self, progress: Progress, **arguments):
        super().__init__(**arguments)
        self._progress = progress

    def perturbations(self) -> dict:
        """Return epydemix's kernels by parameter, changed to allow particles that are all equal."""
        return {
            name: _Continuous(name)
            if name in self.continuous_params
            else DefaultPerturbationDiscrete(name, self.priors[name])
            for name in self.param_names
        }

    def _initialize_particles(self, num_particles, epsilon, *limits):
        if not self._progress.begin_generation(0, epsilon):
            return None
        return self._logged(super()._initialize_particles(num_particles, epsilon, *limits))

    def _run_smc_generation(self, particles, weights, epsilon, *rest):
        if not self._progress.begin_generation(self._progress.generation + 1, epsilon):
            return None
        with np.errstate(divide="ignore", invalid="ignore"):  # refused below
            found = super()._run_smc_generation(particles, weights, epsilon, *rest)
        if found is not None:
            check_weights(self._progress, found["weights"])
        return self._logged(found)

    def _logged(self, found):
        if found is not None:
            self._progress.end_generation(found["weights"])
        return found

    def _run_simulation(self, params):
        # epydemix passes the generator as the parameter "rng", a name that a parameter of the model may have
        draw = {name: float(value) for name, value in zip(self.param_names, params, strict=True)}
        return self.simulation_function(draw, self.rng)

    def _check_stopping_conditions(self, epsilon, *limits, verbose=True):
        stops = self._progress.must_stop(epsilon)
        self._progress.outside_in_a_row += 1  # until the next draw is counted
        return stops


class _Continuous(DefaultPerturbationContinuous):
    """A normal kernel; if its variance is 0 in floating point, it proposes the same value again."""

    def update(self, particles, weights, param_names):
        super().update(particles, weights, param_names)
        if self.std**2 == 0:
            self.std = 0.0

    def pdf(self, x, center):
        return super().pdf(x, center) if self.std else float(x == center)
