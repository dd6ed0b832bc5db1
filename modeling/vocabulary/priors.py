"""Distributions of an experiment, the dates drawn from them; their checks."""

import contextlib
from typing import Literal

from pydantic import Field

from modeling.distributions import check_draws, frozen_distribution, is_discrete, unknown_keywords
from modeling.failures import UserError
from modeling.vocabulary.base import Day, Number, Piece, Problems

SHARES_AND_PEOPLE = "mixes shares of the people (below 1) and numbers of people (1 and more); use one of them"


class Distribution(Piece):
    """A distribution of scipy.stats, e.g. name: uniform, args: [loc, scale]."""

    type: Literal["scipy", "custom"] = Field(
        "scipy", description="where the distribution comes from; custom is refused"
    )
    name: str = Field(description="name in scipy.stats: uniform, norm, randint, ...")
    args: list[Number] = Field(
        default_factory=list, description="positional arguments, e.g. lowest value and width of uniform"
    )
    kwargs: dict[str, Number] = Field(
        default_factory=dict, description="keyword arguments, e.g. {loc: 1.4, scale: 0.8}"
    )

    def frozen(self):
        """Return scipy's frozen distribution.

        Raises
        ------
        UserError
            There is no such distribution.
        """
        if self.type == "custom":
            raise UserError("distributions of type custom are not built; use one of scipy.stats")
        return frozen_distribution(self.name, self.args, self.kwargs)

    @property
    def unknown_keywords(self) -> list[str]:
        """Names of the keyword arguments that the distribution does not have; for other faults, none."""
        with contextlib.suppress(UserError):
            return unknown_keywords(self.name, self.kwargs)
        return []

    def without_unknown_keywords(self) -> "Distribution":
        """Return the distribution as a Latin hypercube draws it: upstream's ignores unknown keywords."""
        unknown = self.unknown_keywords
        kept = {key: value for key, value in self.kwargs.items() if key not in unknown}
        return self.model_copy(update={"kwargs": kept})

    def check(self, *, by_quantile: bool = False) -> None:
        """Refuse a distribution that does not exist or cannot be drawn from.

        Parameters
        ----------
        by_quantile : bool
            Draw as a Latin hypercube does, not at random.

        Raises
        ------
        UserError
            What is wrong.
        """
        self.frozen()
        check_draws(self.name, self.args, self.kwargs, by_quantile=by_quantile)


class DateParameter(Piece):
    """A date: a reference date plus days drawn from a distribution."""

    reference_date: Day = Field(description="date that the drawn days are added to")
    distribution: Distribution | None = Field(None, description="of the days to add, when sampled [days]")
    prior: Distribution | None = Field(None, description="of the days to add, when calibrated [days]")


def distribution_problems(distribution: Distribution, at: tuple) -> Problems:
    """Yield why a Latin hypercube cannot sample a distribution."""
    try:
        distribution.without_unknown_keywords().check(by_quantile=True)
    except UserError as error:
        yield at, str(error)


def unit_problems(distribution: Distribution, at: tuple) -> Problems:
    """Yield why a prior is not one of initial people: it is negative, or has both shares and people.

    An init of 0.99 is nearly everybody, one of 1.01 a single person, so no continuous prior may have both.
    The values of a discrete prior are numbers of people; 0 means nobody.
    """
    try:
        distribution.check()
    except UserError:
        return  # already reported
    try:
        distribution.check(by_quantile=True)
    except UserError as error:
        yield at, str(error)
        return
    frozen = distribution.frozen()
    low, high = frozen.ppf([1e-6, 1 - 1e-6])
    if high < 0:
        yield at, f"{low:.3g} to {high:.3g}: neither a share nor a number of people can be below 0"
    elif low < 1 < high and not is_discrete(frozen.dist):
        yield at, f"{low:.3g} to {high:.3g} {SHARES_AND_PEOPLE}"
