"""Checks of a forecast from surveillance data: its result, and what --strict does not allow.

A result is checked where it leaves stage B, and again where it is read.
"""

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.failures import UserError, listed
from modeling.forecast_records import (
    FORECAST_FORMAT,
    MOST_EARLIER,
    RECENT_WEEKS,
    WEEK,
    Doubt,
    ForecastResult,
    ForecastWorkload,
    Quantiles,
    Surveillance,
)
from modeling.hubs import HORIZONS, QUANTILES, hub_names, hub_populations
from modeling.input_names import in_a_line
from modeling.weeks import SATURDAY

LEARNS_FROM_ALL = "growth_regression"  # the method that learns from all locations together
FEW_LOCATIONS = 10
KINDS_OF_DOUBT = ("fault", "gap", "revision")
MOST_WEEKS = 20_000  # of a series: four centuries
MOST_SENTENCES, MOST_CHARACTERS = 10_000, 2_000  # of notes, doubts and reasons


def few_locations_note(method: str, number: int, has_history: bool) -> str:
    """Return a warning that a method learns from too few locations; "" if it does not."""
    if method != LEARNS_FROM_ALL or has_history or number >= FEW_LOCATIONS:
        return ""
    learned = "one location" if number == 1 else f"{number} locations"
    return (
        f"{method} learns from {learned} alone, and without a history_path, so its forecasts may be far off; "
        "forecast all locations and read those that you need, or add a history_path"
    )


def left_out_names(left_out: dict[str, str]) -> dict[str, list[str]]:
    """Return the names of the locations that have no forecast, by their reason."""
    names, found = hub_names(), {}
    for location, reason in left_out.items():
        found.setdefault(reason, []).append(names.get(location, location))
    return found


def left_out_lines(left_out: dict[str, str]) -> list[str]:
    """Return why locations have no forecast, a line for each reason with the names that share it."""
    return [
        f"{listed(names)} {'is' if len(names) == 1 else 'are'} left out: {reason}"
        for reason, names in left_out_names(left_out).items()
    ]


def doubt_line(doubt: Doubt) -> str:
    """Return a doubt with the name of its location, for the log."""
    return f"{hub_names().get(doubt.location, doubt.location)}: {doubt.sentence}"


def strict_problem(left_out: dict[str, str], doubts: list[Doubt]) -> str:
    """Return why a strict run fails: the locations that are left out or have a fault; "" if none has."""
    found = left_out_lines(left_out) + [doubt_line(each) for each in doubts if each.kind == "fault"]
    if not found:
        return ""
    remedy = "correct the data, or leave out STRICT=1 (invoke: --strict), and start a new run"
    return f"{in_a_line(found)}; {remedy}"


def check_forecast_workload(workload: ForecastWorkload) -> None:
    """Refuse an input that stage A cannot have built.

    Raises
    ------
    UserError
        Another format, unknown locations, or arrays of a wrong type, shape or range.
    """
    where = f"input {workload.index}"
    _check_format(workload.format, where)
    _check_places(workload.locations, workload.people, where)
    known = [workload.known, *([workload.previous] if workload.previous is not None else [])]
    for surveillance in known:
        _check_surveillance(surveillance, len(workload.locations), where)
    if (
        workload.previous is not None
        and workload.previous.reference_date != workload.known.reference_date - WEEK
    ):
        raise UserError(f"{where}: its previous reference date is not one week earlier")
    _check_array(workload.later, (len(HORIZONS), len(workload.locations)), f"{where}: later counts")
    if workload.history is not None:
        shape = (len(workload.history.values), len(workload.history.locations))
        _check_array(workload.history.values, shape, f"{where}: history")
        _check_saturday(workload.history.first_week, f"{where}: history")


def check_forecast_result(result: ForecastResult) -> None:
    """Refuse a result that cannot be right.

    Raises
    ------
    UserError
        Another format, unknown locations, arrays of a wrong type, shape or range, dates that are no
        Saturdays or do not fit one another, or quantiles that are not finite, whole, or increasing.
    """
    where = f"result {result.index} ({result.population})"
    _check_format(result.format, where)
    _check_places(result.locations, result.people, where)
    number, day = len(result.locations), result.forecast.reference_date
    _check_counts(result.counts, number, where)
    _check_saturday(result.first_week, where)
    if not result.last_week <= result.as_of <= day or result.last_week >= day:
        raise UserError(
            f"{where}: weeks to {result.last_week}, known on {result.as_of}, for a forecast of {day}"
        )
    _check_array(result.nowcast, (RECENT_WEEKS, number), f"{where}: nowcast")
    _check_array(result.later, (len(HORIZONS), number), f"{where}: later counts")
    _check_quantiles(result.forecast, number, f"{where}: forecast")
    if result.previous is not None:
        _check_quantiles(result.previous, number, f"{where}: previous forecast")
        if result.previous.reference_date != day - WEEK:
            raise UserError(f"{where}: its previous reference date is not one week earlier")
    _check_sentences(result, where)


def _check_format(found: int, where: str) -> None:
    if found != FORECAST_FORMAT:
        raise UserError(f"{where}: format {found} is not {FORECAST_FORMAT}; build the run again")


def _check_places(locations: list[str], people: np.ndarray, where: str) -> None:
    if (
        not locations
        or len(set(locations)) < len(locations)
        or not set(locations) <= hub_populations().keys()
    ):
        raise UserError(f"{where}: its locations are not those of the hub, each once")
    if people.dtype.kind not in "iu" or people.shape != (len(locations),) or (people <= 0).any():
        raise UserError(f"{where}: people of shape {people.shape}, all of whom must be whole and positive")


def _check_surveillance(known: Surveillance, number: int, where: str) -> None:
    _check_counts(known.counts, number, where)
    for day in (known.reference_date, known.first_week, *(each.last_week for each in known.earlier)):
        _check_saturday(day, where)
    if not known.last_week <= known.as_of <= known.reference_date or known.weeks_ahead < 1:
        raise UserError(
            f"{where}: weeks to {known.last_week}, known on {known.as_of}, for {known.reference_date}"
        )
    days = [*(each.as_of for each in known.earlier), known.as_of]
    if days != sorted(set(days)) or len(days) > MOST_EARLIER + 1:
        raise UserError(f"{where}: its earlier vintages do not increase, or are more than {MOST_EARLIER}")
    for each in known.earlier:
        _check_array(each.counts, (RECENT_WEEKS, number), f"{where}: vintage of {each.as_of}")


def _check_counts(counts: np.ndarray, number: int, where: str) -> None:
    _check_array(counts, (len(counts) if counts.ndim else 0, number), f"{where}: counts")
    if not 0 < len(counts) <= MOST_WEEKS or np.isnan(counts).all(axis=0).any():
        raise UserError(f"{where}: counts of {len(counts)} weeks, or a location without any")


def _check_array(array: np.ndarray, shape: tuple[int, ...], where: str) -> None:
    """Refuse an array that is not of float, of this shape, with counts that are not negative, or nan."""
    if array.dtype != np.float64 or array.shape != shape:
        raise UserError(f"{where}: an array of {array.dtype} of shape {array.shape} instead of {shape}")
    known = array[~np.isnan(array)]
    if known.size and not 0 <= known.min() <= known.max() <= LARGEST_NUMBER:
        raise UserError(f"{where}: numbers from {known.min():g} to {known.max():g}")


def _check_quantiles(quantiles: Quantiles, number: int, where: str) -> None:
    values = quantiles.values
    _check_saturday(quantiles.reference_date, where)
    _check_array(values, (len(HORIZONS), number, len(QUANTILES)), where)
    if np.isnan(values).any():
        raise UserError(f"{where}: quantiles that are not finite")
    if (values != np.rint(values)).any():
        raise UserError(f"{where}: quantiles that are not whole")
    if (np.diff(values, axis=2) < 0).any():
        raise UserError(f"{where}: quantiles that decrease over their levels")


def _check_saturday(day, where: str) -> None:
    if day.weekday() != SATURDAY:
        raise UserError(f"{where}: {day} is a {day:%A}, not a Saturday")


def _check_sentences(result: ForecastResult, where: str) -> None:
    """Check what is printed: it must be bounded, and about locations of the hub."""
    sentences = [*result.notes, *result.left_out.values(), *(each.sentence for each in result.doubts)]
    if len(sentences) > MOST_SENTENCES or any(len(each) > MOST_CHARACTERS for each in sentences):
        raise UserError(f"{where}: notes that are too many or too long")
    named = {*result.left_out, *(each.location for each in result.doubts)}
    if not named <= hub_populations().keys() or set(result.left_out) & set(result.locations):
        raise UserError(f"{where}: notes on locations that are not those of the hub")
    if {each.kind for each in result.doubts} - set(KINDS_OF_DOUBT):
        raise UserError(f"{where}: an unknown kind of doubt")
