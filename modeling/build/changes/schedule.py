"""The schedule of a model over one population: everything that changes over time, from all sections."""

import datetime
from dataclasses import replace
from pathlib import Path

from modeling.build.changes.axis import TimeAxis
from modeling.build.changes.doses import build_doses
from modeling.build.changes.interventions import check_interventions, contact_factors, parameter_changes
from modeling.build.changes.seasonality import balcan_wave, factors_from_file
from modeling.populations import Population
from modeling.vocabulary.experiment import Experiment
from modeling.workload import Schedule


def build_schedule(
    experiment: Experiment, population: Population, data_roots: list[Path], first_day: datetime.date
) -> Schedule | None:
    """Return what changes over time in the model of a population; None if nothing does.

    Parameters
    ----------
    data_roots : list of Path
        Folders that paths in the YAML are relative to; the first that has the file counts.
    first_day : date
        First day of the trajectory that starts first.

    Raises
    ------
    UserError
        A file is unusable, or a section does not fit the model, the population or its contact layers.
    """
    model = experiment.model
    if not (model.seasonality or model.interventions or model.vaccination):
        return None
    timespan = model.timespan
    axis = TimeAxis.of_model(first_day, timespan.end_date, timespan.delta_t)
    check_interventions(experiment, axis)
    factors, overrides = parameter_changes(experiment, axis)
    seasonal = factors_from_file(experiment, population, data_roots, axis)
    if seasonal is not None:
        target = model.seasonality.target_parameter
        factors[target] = factors.get(target, 1) * seasonal
    contacts, closed_schools = contact_factors(experiment, population, data_roots, axis)
    doses = doses_before = None
    if model.vaccination:
        doses, doses_before = build_doses(experiment, population, data_roots, axis)
    return replace(
        axis.steady(),
        wave=balcan_wave(experiment, axis),
        factors=factors,
        overrides=overrides,
        contact_factors=contacts,
        doses=doses,
        doses_before=doses_before,
        closed_schools=closed_schools,
    )
