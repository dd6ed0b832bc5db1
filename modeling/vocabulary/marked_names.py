"""Checks that sampling and calibration share: of the names that the model marks, and of distributions."""

from collections.abc import Mapping

from modeling.distributions import is_discrete
from modeling.failures import UserError, did_you_mean
from modeling.vocabulary.base import Problems
from modeling.vocabulary.model import Model
from modeling.vocabulary.priors import DateParameter, Distribution

SHARES_AND_PEOPLE = "mixes shares of the people (below 1) and numbers of people (1 and more); use one of them"


def name_problems(
    model: Model,
    word: str,
    parameters: Mapping | None,
    compartments: Mapping | None,
    start_date: DateParameter | None,
) -> Problems:
    """Yield names that are given here but not marked in the model, and the other way round.

    Parameters
    ----------
    word : str
        "sampled" or "calibrated", as the model marks them.
    parameters, compartments : mapping, optional
        What is given here, by name.
    """
    given = {*(parameters or {}), *(compartments or {})} | ({"start_date"} if start_date else set())
    marked = model.marked(word)
    for section, names, known in (
        ("parameters", parameters or {}, model.parameters),
        ("compartments", compartments or {}, model.compartment_ids),
    ):
        for name in names:
            if name not in known:
                kind = section.removesuffix("s")
                yield (section, name), f'"{name}" is not a {kind} of the model{did_you_mean(name, known)}'
            elif name not in marked:
                key = "type" if section == "parameters" else "init"
                yield (section, name), f'"{name}" is given here, so the model must say "{key}: {word}"'
    if start_date and "start_date" not in marked:
        yield (
            ("start_date",),
            f'start_date is given here, so the model\'s timespan must say "start_date: {word}"',
        )
    for name in sorted(marked - given):
        yield (), f'the model says that "{name}" is {word}, but it is not given here'


def distribution_problems(distribution: Distribution, at: tuple) -> Problems:
    """Yield why a Latin hypercube cannot sample a distribution."""
    try:
        distribution.check(by_quantile=True)
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
