"""`model.timespan` and `model.simulation`: the simulated days, their time steps, and the reported dates."""

import re
from typing import Literal

from pydantic import Field, field_validator

from modeling.bounds import MOST_TRAJECTORIES
from modeling.calendars import FREQUENCY, MOST_STEP_DAYS
from modeling.vocabulary.base import Day, Piece

DAY_SECONDS = 86_400


class Timespan(Piece):
    """First and last simulated day, and the time step."""

    start_date: Day | Literal["sampled", "calibrated"] = Field(
        description="first simulated day, or a word: the modelset has its distribution"
    )
    end_date: Day = Field(description="last simulated day")
    delta_t: float = Field(
        1.0,
        gt=1e-6,
        le=MOST_STEP_DAYS,
        description="time step [days]: whole days, or an even part of one such as 0.5",
    )

    @field_validator("delta_t")
    @classmethod
    def _fits_into_days(cls, delta_t: float) -> float:
        """Refuse steps that would belong to two days: the counts of a day are those of its steps."""
        if delta_t >= 1 and delta_t == int(delta_t):
            return delta_t
        # the shortest step is a second; without bounds, 1 / 1e-320 would be infinite and 1 / 3.5 round to 0
        parts = max(1, round(1 / max(delta_t, 1 / (2 * DAY_SECONDS))))
        if DAY_SECONDS % parts or abs(parts * delta_t - 1) > 1e-6:
            raise ValueError(
                f"{delta_t:g} days is neither a whole number of days nor an even part of a day; "
                "use 1, 0.5, 0.25, 0.2, 0.125, 0.1 or, for a third, 0.3333333"
            )
        return 1 / parts


class Simulation(Piece):
    """Number of trajectories, and the dates on which they are reported."""

    n_sims: int | None = Field(
        None, ge=1, le=MOST_TRAJECTORIES, description="trajectories for each parameter set; 10 without it"
    )
    resample_frequency: str | None = Field(
        None, description="reported dates: D, 7D, W-SAT, 2W-SAT, MS or ME; every time step without it"
    )

    @field_validator("resample_frequency")
    @classmethod
    def _known_frequency(cls, frequency: str | None) -> str | None:
        if frequency is not None and not re.fullmatch(FREQUENCY, frequency):
            raise ValueError(f'"{frequency}" is not a frequency; use D, 7D, W-SAT, MS or ME')
        return frequency

    @property
    def trajectories(self) -> int:
        return self.n_sims or 10
