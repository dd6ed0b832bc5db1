"""The report of a weekly forecast: one HTML file without scripts, with a tile map and a chart per location.

Text and layout are in weekly_report.html.j2, styles in report.css and weekly.css; the rest of a run's facts
are shown as in report.py.
"""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from modeling.forecast_records import ForecastResult
from modeling.outputs import weekly_words as words
from modeling.outputs.rate_changes import FEWEST_PEOPLE, THRESHOLDS
from modeling.outputs.report import RunFacts, page_template, write_page
from modeling.outputs.weekly_charts import NARROW, SMALL, WIDE, weekly_chart
from modeling.outputs.weekly_map import MARKS, tiles
from modeling.outputs.weekly_places import LAST, Place, newest_horizon, weekly_places


@dataclass(frozen=True)
class Section:
    """One location of the report: its charts (two for the nation, for desk and phone) and kinds of doubts."""

    place: Place
    charts: tuple[Markup, ...]
    doubts: list[str]


def write_weekly_report(path: Path, facts: RunFacts, result: ForecastResult) -> None:
    """Write the report of a weekly forecast; the file appears whole or not at all."""
    places = weekly_places(result)
    told = set(words.warning_lines(result))  # beside these, the page has them under their own headings
    sections = [_section(result, place) for place in places]
    small, large = THRESHOLDS[LAST]
    write_page(
        path,
        page_template("weekly_report.html.j2"),
        facts=facts,
        result=result,
        reference=words.date_in_words(result.forecast.reference_date, with_year=True),
        vintage=words.vintage(result),
        pointer=words.pointer(result),
        has_nowcast=any('class="nowcast"' in section.charts[0] for section in sections),
        opening=words.opening(result, places),
        tiles=tiles(places, result.left_out, {doubt.location for doubt in result.doubts}),
        nation=[section for section in sections if section.place.is_nation],
        sections=[section for section in sections if not section.place.is_nation],
        rows=[_row(result, place) for place in places],
        categories=words.category_words(),
        signed=words.signed,
        spoken=words.spoken,
        first_week=words.date_in_words(words.week_of(result, -1)),
        last_week=words.date_in_words(words.week_of(result, LAST)),
        thresholds=(f"{small / 10:g}", f"{large / 10:g}"),
        fewest=FEWEST_PEOPLE,
        marks=dict.fromkeys(MARKS.values()) if newest_horizon(result) is not None else {},
        notes=[note for note in dict.fromkeys([*result.notes, *facts.notes]) if note not in told],
        doubts=words.doubts_by_kind(result),
        left_out=words.left_out_by_reason(result),
        on_later=words.on_later_observations(result),
        on_last_week=words.on_last_week(result, places),
    )


def _section(result: ForecastResult, place: Place) -> Section:
    styles = (WIDE, NARROW) if place.is_nation else (SMALL,)
    charts = tuple(weekly_chart(result, place.column, style, words.spoken(place)) for style in styles)
    doubts = sorted({doubt.kind for doubt in result.doubts if doubt.location == place.location})
    return Section(place, charts, doubts)


def _row(result: ForecastResult, place: Place) -> tuple[Place, float, float, float, float]:
    """Return the row of a place in the table: newest count, and median and 90 % interval of the last week."""
    newest = float(result.counts[-1, place.column])
    return place, newest, place.low, place.expected, place.high
