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


class SmcOptions(Piece):
    """ABC with sequential Monte Carlo.

    `max_consecutive_rejections` is not an option of epydemix: after this number of rejected draws in a row,
    the calibration ends with its last whole generation.
    """

    num_particles: int = Field(1000, ge=2, le=LARGEST_COUNT)
    num_generations: Count = 10
    epsilon_schedule: list[NotNegative] | None = Field(None, min_length=1)
    epsilon_quantile_level: float = Field(0.5, gt=0, lt=1)
    minimum_epsilon: Positive | None = None
    max_time: Duration = None
    total_simulations_budget: Count | None = None
    max_consecutive_rejections: Count = 10_000
    verbose: bool = True

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

    epsilon: Positive = 0.1
    num_particles: Count = 1000
    max_time: Duration = None
    total_simulations_budget: Count | None = None
    verbose: bool = True
    progress_update_interval: Count = Field(1000, description="no effect: progress is logged by time")


class TopFractionOptions(Piece):
    """ABC that keeps the best share of the simulations from the prior."""

    top_fraction: float = Field(0.05, gt=0, le=1)
    Nsim: Count = 100
    verbose: bool = True

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

    name: Literal["smc", "rejection", "top_fraction"]
    options: SmcOptions | RejectionOptions | TopFractionOptions = Field({}, validate_default=True)

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
