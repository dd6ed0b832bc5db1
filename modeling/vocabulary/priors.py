"""Distributions of an experiment, and dates drawn from them."""

from typing import Literal

from pydantic import Field

from modeling.distributions import check_draws, frozen_distribution
from modeling.failures import UserError
from modeling.vocabulary.base import Day, Number, Piece


class Distribution(Piece):
    """A distribution of scipy.stats, e.g. name: uniform, args: [loc, scale]."""

    type: Literal["scipy", "custom"] = "scipy"
    name: str = Field(description="name in scipy.stats: uniform, norm, randint, ...")
    args: list[Number] = Field(default_factory=list, description="positional arguments")
    kwargs: dict[str, Number] = Field(default_factory=dict, description="keyword arguments")

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

    reference_date: Day
    distribution: Distribution | None = Field(None, description="days to add, when sampled")
    prior: Distribution | None = Field(None, description="days to add, when calibrated")
