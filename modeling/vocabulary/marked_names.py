"""Checks that sampling and calibration give values for exactly the names that the model marks."""

import datetime
from collections.abc import Mapping

from modeling.failures import did_you_mean
from modeling.vocabulary.base import Problems
from modeling.vocabulary.model import Model
from modeling.vocabulary.priors import DateParameter


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
    # a drawn start date replaces a fixed one, as upstream; stage A warns
    is_fixed = isinstance(model.timespan.start_date, datetime.date)
    if start_date and not is_fixed and "start_date" not in marked:
        yield (
            ("start_date",),
            f'start_date is given here, so the model\'s timespan must say "start_date: {word}"',
        )
    for name in sorted(marked - given):
        yield (), f'the model says that "{name}" is {word}, but it is not given here'
