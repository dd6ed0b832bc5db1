"""The page with every key: complete, in plain words, and with links that lead to its headings."""

import re

import pytest

from modeling.vocabulary.experiment import KINDS
from modeling.vocabulary.json_schema import experiment_schema
from modeling.vocabulary.key_reference import reference_page

SCHEMA = experiment_schema()
PAGE = reference_page(SCHEMA)


def section(heading: str) -> str:
    """Return what is below a heading, up to the next one."""
    return re.search(rf"(?ms)^##+ {re.escape(heading)}$\n(.*?)(?=^#|\Z)", PAGE)[1]


def test_every_key_has_one_row_a_mapping():
    rows = re.findall(r"(?m)^\| `(\w+)` \|", PAGE)

    keys = [key for piece in SCHEMA["definitions"].values() for key in piece["properties"]]
    assert sorted(rows) == sorted(keys)


@pytest.mark.parametrize("kind", KINDS)
def test_every_top_level_key_has_a_section_with_its_keys(kind):
    rows = re.findall(r"(?m)^\| `(\w+)` \|", section(f"`{kind}`"))

    assert rows == list(KINDS[kind].model_fields)


@pytest.mark.parametrize(
    ("heading", "row"),
    [
        ("`model.timespan`", "| `start_date` | date, `sampled` or `calibrated` | required | "),
        ("`model.timespan`", "| `delta_t` | number above 0.000001 and up to 7 | `1` | time step [days]"),
        ("`model.simulation`", "| `n_sims` | whole number from 1 to 10,000,000 |  | "),
        (
            "`model.compartments[]`",
            "| `init` | `default`, `sampled`, `calibrated`, number or list of numbers |  | ",
        ),
        ("`model.parameters.X`", "| `values` | list of numbers or texts |  | "),
        ("`modelset.calibration.strategy`", "| `name` | `smc`, `rejection` or `top_fraction` | required | "),
        ("`modelset.calibration`", "| `parameters` | [priors](#prior) by name |  | "),
        ("`modelset.sampling`", "| `start_date` | [date parameter](#date-parameter) |  | "),
        ("`modelset.sampling.samplers[]`", "| `strategy` | `grid` or `LHS` | required | "),
        ("Distribution", "| `kwargs` | numbers by name |  | "),
        ("`output`", "| `table_formats` | list of `csv` or `parquet` | `[csv]` | "),
        ("`output.quantiles`", "| `selections` | list of numbers | 23 values, `0.01` to `0.99` | "),
    ],
)
def test_a_row_has_the_type_in_plain_words_the_default_and_the_meaning(heading, row):
    assert row in section(heading)


def test_every_link_leads_to_a_heading_of_the_page():
    headings = re.findall(r"(?m)^##+ (.+)$", PAGE)
    anchors = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]

    links = re.findall(r"\]\(#([^)]+)\)", PAGE)

    assert len(anchors) == len(set(anchors))
    assert set(links) <= set(anchors)
    assert len(links) > 20
