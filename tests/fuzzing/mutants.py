"""Mutants of plain data, of YAML and of CSV, drawn by Hypothesis: one place is changed, the rest stays."""

import copy
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from hypothesis import strategies as st

Place = tuple[str | int, ...]

# fmt: off
NUMBERS = [
    0, 1, -1, 2, 0.5, -0.5, 1.0, 1e-9, 1e-300, 5e-324, 7, 13, 100, 999, 10**6, 10**9, 10**10, 1e15,
    2**31, 2**63 - 1, 2**63, 10**29, 1e16, 1e308, -1e308, float("inf"), float("nan"),
]
TEXTS = [
    "", " ", "0", "1/3", "1/0", "1e400", "0150", "true", "null", "nan", "all", "default", "calibrated",
    "2025-12-06", "2025-02-30", "1899-12-31", "2201-01-01", "9999-12-31", "2025-12-06T10:00:00", "sampled",
    "S", "I_to_H_total", "S_total", "total", "_", "eigenvalue", "US-MA", "us-ma ", "norm", "randint", "binom",
    "D", "W-SAT", "W-MON", "7D", "2W-SAT", "MS", "ME", "Q", "0D", "30m", "2M", "smc", "LHS", "grid", "%s",
    "../../../../tmp/evil", "/etc/passwd", "a/b", ".", "lambda: 1", "__import__('os')", "np.exp(1, [1])",
    "R0 # x", "{{ 7*7 }}", "<b>", "\x00", "\x1b[31mred", "line\nline", "\u202eabc", "é", "\ufeff", "😀",
    "populations", "x" * 5_000,
]
RAW = [  # written as they are, without quotes
    "0150", "0x10", "0b11", "1_000", "1:30", "1e3", ".inf", "~", "yes", "=", "2025-12-06", "2025-13-45",
    "2025-12-06 10:00:00", "!!binary aGk=", "!!set {a}", "!!python/object:os.system x", "!!int x",
    "!!float 1", "*none", "&a [*a]", "&a {b: *a}", '"\\ud800"', '"\\0"', "{a: 1, a: 2}", "{<<: 1}",
    "{1: 2}", "{[1]: 2}", "'", "[", "@x",
]
CELLS = [
    "NA", "N/A", "NULL", "n/a", "<5", "1,234", "12/06/2025", "2025-12-06xyz", "20251206", "45000",
]
# fmt: on


class Raw(str):
    """YAML that is written as it is."""


@dataclass(frozen=True)
class Change:
    """What is done at one place of a document: put, drop, double or rename."""

    place: Place
    act: str
    value: Any = None

    def __str__(self) -> str:
        shown = repr(self.value)
        return (
            f"{self.act} {'.'.join(map(str, self.place))} {shown if len(shown) < 80 else shown[:80] + '...'}"
        )


def leaves(document: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every place of a document that holds no other, and its value."""
    if isinstance(document, (dict, list)) and document:
        items = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in items:
            yield from leaves(value, (*place, key))
    else:
        yield place, document


def changes(place: Place, value: Any, others: list[Any], raw: bool = False) -> st.SearchStrategy[Change]:
    """Draw what happens at a place: to the value itself, or to what holds it.

    Parameters
    ----------
    others : list
        Values of other places of the same document, which look right where they do not belong.
    raw : bool
        Whether text that YAML reads in its own way may stand there.
    """
    near = [-value, value * 2, value / 3, value + 1, str(value)] if _is_number(value) else [f"{value}x"]
    known = [*near, [value], [value, value], {"value": value}, {str(value): 1}, None, [], {}, True, False]
    values = st.one_of(
        st.sampled_from(known),
        st.sampled_from(others),
        st.sampled_from(NUMBERS),
        st.sampled_from(TEXTS),
        *([st.sampled_from([Raw(text) for text in RAW])] if raw else []),
        st.integers(-(10**4), 10**4),
        st.floats(-10, 10, allow_nan=False),
        st.text(max_size=8),
    )
    put = values.map(lambda drawn: Change(place, "put", drawn))
    # one of those that hold the place, and what becomes of it there
    above = st.sampled_from(range(1, len(place) + 1)).flatmap(
        lambda end: st.one_of(
            st.builds(Change, st.just(place[:end]), st.sampled_from(["drop", "double"])),
            values.map(lambda drawn: Change(place[:end], "put", drawn)),
            st.sampled_from(["x", "", "value", "start_date", 7]).map(
                lambda name: Change(place[:end], "rename", name)
            ),
        )
    )
    return st.one_of(put, put, above)


def changed(document: Any, change: Change) -> Any:
    """Return the document with one change."""
    document = copy.deepcopy(document)
    holder = document
    for key in change.place[:-1]:
        holder = holder[key]
    last = change.place[-1]
    if change.act == "put":
        holder[last] = change.value
    elif change.act == "drop":
        del holder[last]
    elif isinstance(holder, list):  # what has no name is doubled
        holder.insert(last, copy.deepcopy(holder[last]))
    else:
        name = f"{last}2" if change.act == "double" else change.value
        renamed = {name if key == last else key: value for key, value in holder.items()}
        if change.act == "double":
            renamed[last] = copy.deepcopy(holder[last])
        holder.clear()
        holder.update(renamed)
    return document


def as_yaml(document: Any) -> bytes:
    """Write a document as YAML; text that is Raw stands there as it is."""
    texts: dict[str, str] = {}

    def marked(value: Any) -> Any:
        if isinstance(value, Raw):
            mark = f"RAW{len(texts)}MARK"
            texts[mark] = value
            return mark
        if isinstance(value, dict):
            return {key: marked(each) for key, each in value.items()}
        return [marked(each) for each in value] if isinstance(value, list) else value

    text = yaml.safe_dump(marked(document), sort_keys=False, allow_unicode=True)
    for mark, raw in texts.items():
        text = text.replace(mark, raw)
    return text.encode("utf-8", "surrogatepass")


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


def table_changes(rows: list[list[str]], row: int, column: int) -> st.SearchStrategy[bytes]:
    """Draw a CSV file in which one cell, its row, its column or the whole file is another."""
    cell = rows[row][column]
    texts = [*TEXTS, *CELLS, *map(str, NUMBERS), f"{cell} ", cell.lower(), f'"{cell}', f"-{cell}"]
    texts += [rows[0][0], rows[-1][0], rows[-1][-1]]
    one_cell = st.one_of(st.sampled_from(texts), st.text(max_size=8)).map(
        lambda text: _with(rows, row, column, text)
    )
    shapes = st.sampled_from(
        [
            rows[:row] + rows[row + 1 :],
            rows[: row + 1] + rows[row:],
            [r[:column] + r[column + 1 :] for r in rows],
            [r[: column + 1] + r[column:] for r in rows],
            [*rows[:row], rows[row][:column] + rows[row][column + 1 :], *rows[row + 1 :]],
            [*rows[:row], [*rows[row], cell], *rows[row + 1 :]],
            [*rows[: row + 1], [], *rows[row + 1 :]],
            rows[: row + 1],
            list(reversed(rows)),
        ]
    ).map(lambda shaped: as_csv(shaped))
    written = st.sampled_from(["utf-16", "utf-8-sig", "latin-1"]).map(
        lambda name: as_csv(rows).decode().encode(name)
    )
    separated = st.sampled_from([";", "\t", "|"]).map(lambda mark: as_csv(rows, mark))
    ends = st.sampled_from([b"\r\n", b"\r", b"\n\n"]).map(lambda end: as_csv(rows).replace(b"\n", end))
    cut = st.integers(0, len(as_csv(rows))).map(lambda length: as_csv(rows)[:length])
    return st.one_of(one_cell, one_cell, one_cell, shapes, written, separated, ends, cut)


def as_csv(rows: list[list[str]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _with(rows: list[list[str]], row: int, column: int, text: str) -> bytes:
    """Write the rows with one cell as it is, without quotes of its own."""
    lines = [",".join(r) for r in rows]
    lines[row] = ",".join([*rows[row][:column], text, *rows[row][column + 1 :]])
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
