"""The calibration methods of epydemix's ABCSampler, and their options."""

import re
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from modeling.bounds import LARGEST_COUNT
from modeling.failures import did_you_mean, listed
from modeling.vocabulary.base import Count, NotNegative, Piece, Positive

LONGEST_SECONDS = 1000 * 86_400
_SECONDS = {"s": 1, "m": 60, "t": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration_seconds(text: str) -> float:
    """Return the seconds of "30m", "1h30m", "2D" or "W".

    Raises
    ------
    ValueError
        The text is not a fixed length of time, or one that is too long.
    """
    if re.search("M(?![iI])", text):  # months, as pandas reads it
        raise ValueError(f'"{text}" is not a duration: months differ; write m for minutes')
    parts = re.findall(r"(\d+(?:\.\d+)?)?\s*(min|[smthdw])", text.strip().lower())
    if not parts or "".join(n + u for n, u in parts) != re.sub(r"\s", "", text.lower()):
        raise ValueError(f'"{text}" is not a duration; write 45s, 30m, 1h30m or 2D')
    seconds = sum(float(number or 1) * _SECONDS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError(f'"{text}" must be longer than 0 seconds')
    if seconds > LONGEST_SECONDS:
        raise ValueError(f'"{text}" is longer than {LONGEST_SECONDS / _SECONDS["d"]:.0f} days; leave it out')
    return seconds


def _duration(text: Any) -> str | None:
    if text is not None:
        parse_duration_seconds(str(text))
    return None if text is None else str(text)


Duration = Annotated[str | None, BeforeValidator(_duration)]
TIME_LIMIT = "ends the calibration after this time: 45s, 30m, 1h30m, 2D"
BUDGET = "ends the calibration after this number of simulations"


class SmcOptions(Piece):
    """ABC with sequential Monte Carlo.

    `max_consecutive_rejections` is not an option of epydemix: after this number of rejected draws in a row,
    the calibration ends with its last whole generation.
    """

    num_particles: int = Field(1000, ge=2, le=LARGEST_COUNT, description="accepted draws of a generation")
    num_generations: Count = Field(10, description="number of generations")
    epsilon_schedule: list[NotNegative] | None = Field(
        None, min_length=1, description="largest accepted distance of each generation; never rises"
    )
    epsilon_quantile_level: float = Field(
        0.5, gt=0, lt=1, description="quantile of a generation's distances that the next one accepts"
    )
    minimum_epsilon: Positive | None = Field(
        None, description="ends the calibration when the largest accepted distance is below it"
    )
    max_time: Duration = Field(None, description=TIME_LIMIT)
    total_simulations_budget: Count | None = Field(None, description=BUDGET)
    max_consecutive_rejections: Count = Field(
        10_000, description="ends the calibration after this number of rejected draws in a row; our addition"
    )
    verbose: bool = Field(True, description="no effect")

    @field_validator("epsilon_schedule")
    @classmethod
    def _never_rises(cls, schedule: list[float] | None) -> list[float] | None:
        for before, after in pairwise(schedule or []):
            if after > before:
                raise ValueError(f"epsilon_schedule must not rise: {after:g} follows {before:g}")
        return schedule

    @model_validator(mode="after")
    def _schedule_is_long_enough(self) -> "SmcOptions":
        if self.epsilon_schedule and len(self.epsilon_schedule) < self.num_generations:
            raise ValueError(
                f"epsilon_schedule has {len(self.epsilon_schedule)} values "
                f"for {self.num_generations} generations"
            )
        return self


class RejectionOptions(Piece):
    """ABC by rejection."""

    epsilon: Positive = Field(0.1, description="largest accepted distance")
    num_particles: Count = Field(1000, description="number of accepted draws")
    max_time: Duration = Field(None, description=TIME_LIMIT)
    total_simulations_budget: Count | None = Field(None, description=BUDGET)
    verbose: bool = Field(True, description="no effect")
    progress_update_interval: Count = Field(1000, description="no effect: progress is logged by time")


class TopFractionOptions(Piece):
    """ABC that keeps the best share of the simulations from the prior."""

    top_fraction: float = Field(0.05, gt=0, le=1, description="share of the simulations that is kept")
    Nsim: Count = Field(100, description="number of simulations")
    verbose: bool = Field(True, description="no effect")

    @model_validator(mode="after")
    def _keeps_someone(self) -> "TopFractionOptions":
        if self.top_fraction * self.Nsim < 1:
            raise ValueError(
                f"top_fraction {self.top_fraction:g} of {self.Nsim} simulations keeps none; "
                "raise top_fraction or Nsim"
            )
        return self


_OPTIONS = {"smc": SmcOptions, "rejection": RejectionOptions, "top_fraction": TopFractionOptions}


class Strategy(Piece):
    """A calibration method; its options are those of epydemix's ABCSampler.calibrate."""

    name: Literal["smc", "rejection", "top_fraction"] = Field(description="calibration method, in any case")
    options: SmcOptions | RejectionOptions | TopFractionOptions = Field(
        {}, validate_default=True, description="options of the method"
    )

    @field_validator("name", mode="before")
    @classmethod
    def _any_case(cls, name: Any) -> Any:
        if str(name).lower() not in _OPTIONS:
            near = did_you_mean(str(name).lower(), _OPTIONS)
            raise ValueError(f'"{name}" is not a strategy{near}; use {listed(_OPTIONS)}')
        return name.lower()

    @field_validator("options", mode="before")
    @classmethod
    def _options_of_strategy(cls, options: Any, info: ValidationInfo) -> Any:
        if "name" not in info.data:
            return SmcOptions()  # the name is wrong, which is reported
        return _OPTIONS[info.data["name"]].model_validate({} if options is None else options)

    @property
    def max_seconds(self) -> float | None:
        text = getattr(self.options, "max_time", None)
        return None if text is None else parse_duration_seconds(text)
