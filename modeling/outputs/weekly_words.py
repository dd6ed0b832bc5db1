"""What a weekly forecast says in words: dates, the expected change, how forecasts did."""

import datetime
from collections import Counter
from collections.abc import Collection

from modeling.failures import listed
from modeling.forecast_checks import left_out_lines, left_out_names
from modeling.forecast_records import WEEK, Doubt, ForecastResult
from modeling.hubs import hub_names
from modeling.outputs.rate_changes import CATEGORIES
from modeling.outputs.weekly_places import (
    ABOVE,
    BELOW,
    INSIDE_50,
    INSIDE_95,
    LAST,
    Place,
    added,
    later_hits,
    newest_horizon,
)

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
MOST_NAMED = 3  # at the top of the report; more are counted
MINUS = "\N{MINUS SIGN}"
KINDS = {"fault": "Faults in the data", "gap": "Gaps in the data", "revision": "Large revisions"}


def date_in_words(day: datetime.date, with_year: bool = False) -> str:
    """Return a date such as "10 January", whatever the language of the machine."""
    words = f"{day.day} {MONTHS[day.month - 1]}"
    return f"{words} {day.year}" if with_year else words


def week_of(result: ForecastResult, horizon: int) -> datetime.date:
    """Return the Saturday that ends a forecast week."""
    return result.forecast.reference_date + horizon * WEEK


def vintage(result: ForecastResult) -> str:
    """Return the reference date, and which data the forecast was made from."""
    reference, as_of, newest = (
        date_in_words(day, with_year=True)
        for day in (result.forecast.reference_date, result.as_of, result.last_week)
    )
    return f"Reference date {reference}; data as known on {as_of}; newest week: {newest}"


def opening(result: ForecastResult, places: list[Place]) -> list[str]:
    """Return the forecast in a few sentences: the nation or the only place, then the number by category."""
    end, before = (date_in_words(week_of(result, horizon)) for horizon in (LAST, -1))
    sentences = [
        f"{place.name}: {_people(place.expected)} expected in the week to {end} (90 % interval "
        f"{place.low:,.0f} to {place.high:,.0f}), after {place.before:,.0f} in the week to {before}, once "
        "complete."
        for place in places
        if place.is_nation or len(places) == 1
    ]
    number = Counter(place.category for place in places if not place.is_nation)
    if number.total() > 1:
        sentences.append(_directions(number))
    return sentences


def pointer(result: ForecastResult) -> str:
    """Return the words that lead from the top of the report to its warnings."""
    gone, doubted = result.left_out, {doubt.location for doubt in result.doubts}
    parts = [f"{_named(gone)} {'is' if len(gone) == 1 else 'are'} left out"] if gone else []
    parts += [f"the data of {_named(doubted)} are doubtful"] if doubted else []
    return ": ".join(["Read the warnings", *([", ".join(parts)] if parts else [])])


def _named(places: Collection[str]) -> str:
    """Return the names of places in a sentence, or their number if they are many."""
    if len(places) > MOST_NAMED:
        return f"{len(places)} locations"
    names = sorted(hub_names().get(place, place) for place in places)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def signed(change: float) -> str:
    """Return a change per 100,000 people with its sign, short enough for a tile."""
    size = abs(change)
    shown = f"{size:.1f}" if size < 9.95 else f"{size:.0f}" if size < 999.5 else f"{size / 1000:.0f}k"
    if shown == "0.0":
        return shown
    return f"{'+' if change > 0 else MINUS}{shown}"


def per_people(place: Place) -> str:
    """Return the expected change of a place with its unit."""
    return f"{signed(place.change)} per 100,000"


def spoken(place: Place) -> str:
    """Return a place's forecast in one sentence, for a tile's title and a chart's description."""
    change = f"{category_words()[place.category]}, {per_people(place)}"
    where = f"{place.verdict} the 95 % band" if place.verdict in (ABOVE, BELOW) else place.verdict
    last = f"; the newest count was {where} of last week's forecast" if where else ""
    interval = f"90 % interval {place.low:,.0f} to {place.high:,.0f}"
    return f"{place.name}: {_people(place.expected)} expected ({interval}); {change}{last}"


def on_later_observations(result: ForecastResult) -> list[str]:
    """Return how many later observations fell inside the bands: all of them, then by horizon."""
    hits = later_hits(result)
    if not hits:
        return []
    total = added(hits.values())
    subject = "the one later observation" if total.total == 1 else f"{total.total:,} later observations"
    first = (
        f"Of {subject} of the forecast weeks, {_share(total.inside[50], total.total)} fell inside the 50 % "
        f"band and {_share(total.inside[95], total.total)} inside the 95 % band."
    )
    return [first] + [
        f"Horizon {horizon}, week to {date_in_words(week_of(result, horizon))}: {each.inside[50]} of "
        f"{each.total} inside the 50 % band, {each.inside[95]} inside the 95 % band."
        for horizon, each in hits.items()
    ]


def on_last_week(result: ForecastResult, places: list[Place]) -> list[str]:
    """Return how the forecast of one week earlier did on the newest known week."""
    if result.previous is None:
        return ["There is no forecast of the week before to compare."]
    reference = date_in_words(result.previous.reference_date, with_year=True)
    if newest_horizon(result) is None:
        return [f"The forecast of {reference} knew the newest week already, so there is nothing to compare."]
    judged = [place for place in places if place.verdict]
    if not judged:
        return [f"The newest week has no count to compare with the forecast of {reference}."]
    total, within = len(judged), sum(place.verdict == INSIDE_50 for place in judged)
    wide = within + sum(place.verdict == INSIDE_95 for place in judged)
    week = date_in_words(result.last_week)
    subject = "the one count" if total == 1 else f"{total} counts"
    sentences = [
        f"Last week's forecast (reference date {reference}): of {subject} first reported for the week to "
        f"{week}, {_share(within, total)} fell inside the 50 % band and {_share(wide, total)} inside the "
        "95 % band."
    ]
    for side in (ABOVE, BELOW):
        names = [place.name for place in judged if place.verdict == side]
        if names:
            sentences.append(f"{side.capitalize()} the 95 % band: {listed(names, most=len(names))}.")
    return sentences


def doubts_by_kind(result: ForecastResult) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the doubts under a heading for each kind: the name of the place, and the sentence."""
    found: dict[str, list[Doubt]] = {}
    for doubt in result.doubts:
        found.setdefault(doubt.kind, []).append(doubt)
    kinds = [*(kind for kind in KINDS if kind in found), *sorted(found.keys() - KINDS.keys())]
    names = hub_names()
    return [
        (KINDS.get(kind, kind), sorted((names.get(d.location, d.location), d.sentence) for d in found[kind]))
        for kind in kinds
    ]


def left_out_by_reason(result: ForecastResult) -> list[tuple[str, str]]:
    """Return the locations without a forecast: names, and the reason that they share."""
    found = left_out_names(result.left_out)
    return sorted((", ".join(sorted(names)), reason) for reason, names in found.items())


def warning_lines(result: ForecastResult) -> list[str]:
    """Return what is left out and what is doubtful, a line each, for the terminal."""
    doubts = [f"{name}: {said}" for _, found in doubts_by_kind(result) for name, said in found]
    return left_out_lines(result.left_out) + doubts


def category_words() -> dict[str, str]:
    """Return the categories in words."""
    return {category: category.replace("_", " ") for category in CATEGORIES}


def _directions(number: Counter[str]) -> str:
    """Return how many jurisdictions go which way, in a sentence; directions without any are left out."""
    found = [
        (what, number[kind] + number[f"large_{kind}"], number[f"large_{kind}"])
        for what, kind in (
            ("an increase", "increase"),
            ("a stable level", "stable"),
            ("a decrease", "decrease"),
        )
    ]
    found = [(what, count, f" (large in {large})" if large else "") for what, count, large in found if count]
    if len(found) == 1:
        ((what, count, large),) = found
        return f"{what.capitalize()} is expected in all {count} jurisdictions{large}."
    parts = [f"{what} in {count}{large}" for what, count, large in found]
    return f"Of {number.total()} jurisdictions, {', '.join(parts).replace(' in ', ' is expected in ', 1)}."


def _people(count: float) -> str:
    return f"{count:,.0f} {'admission' if count == 1 else 'admissions'}"


def _share(part: int, total: int) -> str:
    """Return a number and its percentage, which is 0 or 100 for none or all alone."""
    shown = f"{100 * part / total:.0f}"
    if shown in ("0", "100") and 0 < part < total:
        shown = "less than 1" if shown == "0" else "more than 99"
    return f"{part:,} ({shown} %)"
