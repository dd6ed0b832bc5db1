"""The report of a run: one self-contained HTML file that opens anywhere, without a network.

Text and layout are in report.html.j2, styles in report.css; charts.py draws the charts.
"""

import base64
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from modeling.input_names import unknown_input
from modeling.outputs.panels import Panel

MOST_EMBEDDED = 100  # populations whose charts are inside the file; a browser opens about 10 MB
MOST_MISSING = 50  # missing results listed by name
REASON_CHARACTERS = 400  # of one of them
LONGEST_WORD = 24  # characters of a name before a break: "HospitalAdmissionsTotal"
TABLE_WIDTH = 900  # px, of a table of parameter sets
VALUE_WIDTH, PEAK_WIDTH = 110, 220  # px, of its columns: a value, a peak with its date


@dataclass(frozen=True)
class StageTimes:
    """What the tasks of one stage used: seconds of all together, peak memory of the largest."""

    name: str
    tasks: int
    wall_seconds: float
    cpu_seconds: float
    longest_seconds: float
    peak_memory_mib: float


@dataclass(frozen=True)
class RunFacts:
    """Facts about the run that the report shows.

    Attributes
    ----------
    created_at, finished_at : str
        UTC, e.g. "2026-01-31T12:00:00Z"; not shown where the second is "".
    missing : list of (int, str)
        Index and reason of every input without a result.
    names : dict of int to str
        Names of these inputs, as far as they are known (input_names.py).
    headline : list of dict
        Rows of the forecast table, from headline.py.
    left_out_dates : int
        Number of forecast dates that the table leaves out, of its populations.
    tables : list of (str, int)
        File name and bytes.
    notes : list of str
        Warnings, e.g. "US-CA: calibration was cut short by max_time".
    """

    exp_id: str
    run_id: str
    workflow: str
    suite: str
    seed: int | None
    created_at: str
    finished_at: str
    num_workloads: int
    num_results: int
    missing: list[tuple[int, str]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    stages: list[StageTimes] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    tables: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    headline: list[dict[str, object]] = field(default_factory=list)
    left_out_dates: int = 0


def write_report(
    path: Path,
    facts: RunFacts,
    panels: Collection[Panel],
    chart_files: dict[str, Path],
    posterior_files: dict[str, Path],
) -> None:
    """Write the report; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
        The HTML file to write.
    facts : RunFacts
    panels : collection of Panel
        In the order of the report. The charts of the first 100 are embedded; the others are links.
    chart_files, posterior_files : dict of str to Path
        PNG by population, for those that have one. Each file is read when its part of the report is written,
        so that memory holds one at a time. Links point to `charts/<file name>` beside the report.
    """
    write_page(
        path,
        page_template("report.html.j2"),
        facts=facts,
        missing=[
            (facts.names.get(index) or unknown_input(index), _cut(reason, REASON_CHARACTERS))
            for index, reason in facts.missing[:MOST_MISSING]
        ],
        sections=[(f"population-{n}", panel) for n, panel in enumerate(islice(panels, MOST_EMBEDDED), 1)],
        others=[panel.population for panel in islice(panels, MOST_EMBEDDED, None)],
        chart_files=chart_files,
        posterior_files=posterior_files,
    )


def write_page(path: Path, template: Template, **values: object) -> None:
    """Write a page from a template; the file appears whole or not at all."""
    stream = template.stream(**values)
    partial = path.with_name(path.name + ".partial")
    try:
        stream.dump(str(partial), encoding="utf-8", errors="xmlcharrefreplace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def page_template(name: str, *folders: Path, **filters: Callable) -> Template:
    """Return a template of this folder or of others; all may use its styles and filters, and more filters."""
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "embedded": _embedded,
        "beside": _beside,
        "count": _count,
        "number": _number,
        "duration": _duration,
        "size": _size,
        "spaced": _spaced,
        "breakable": _breakable,
        "is_wide": _is_wide,
    }
    environment.filters |= filters
    return environment.get_template(name)


def _embedded(path: Path) -> Markup:
    return Markup(f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}")


def _beside(path: Path) -> str:
    return f"charts/{quote(path.name)}"


def _count(value: float) -> str:
    return f"{value:,}"


def _number(value: float | str | None) -> str:
    """Return a number with three significant digits, a whole number with all of them, and text unchanged.

    From a billion on, numbers are in millions ("M"), so that a row fits on a phone.
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    whole = float(value).is_integer() or abs(value) >= 99.95  # three digits would round to "100."
    if whole and 1e9 <= abs(value) < 1e12:
        return f"{value / 1e6:,.0f} M"
    return f"{value:,.0f}" if whole and abs(value) < 1e12 else f"{value:#.3g}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    if count < 1024**2:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024**2:,.1f} MiB"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _breakable(name: str) -> Markup:
    """Return a name that may break after each underscore and within very long words."""
    words = re.findall(f"[^_]{{1,{LONGEST_WORD}}}_?|_", name)
    return Markup("<wbr>").join(words)


def _is_wide(panel: Panel) -> bool:
    """Return whether the table of parameter sets would be wider than the page."""
    values, series = len(panel.set_rows[0].values), len(panel.series)
    return VALUE_WIDTH * values + PEAK_WIDTH * series > TABLE_WIDTH


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."
