"""Counts that an evaluation scores against: read as strictly as the data of a forecast."""

import pytest

from modeling.evaluation.hub_files import read_hub_table
from modeling.evaluation.request import read_observations
from modeling.failures import UserError
from modeling.hubs import COLUMNS, FLUSIGHT, QUANTILES


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("2025-01-11,6,3100", {("06", 3100.0)}),  # a spreadsheet took the zero away
        ("2025-01-11,us,31000", {("US", 31000.0)}),
        ("2025-01-11,06,-1", ':3: "-1" is not a number from 0 on'),
        ("2025-01-11,50,31", "duplicate week 2025-01-11 of location 50"),
        ("2025-01-10,06,3100", "2025-01-10 is a Friday"),
    ],
)
def test_observations_are_read_as_data_are(tmp_path, row, found):
    path = tmp_path / "observed.csv"
    path.write_text(f"date,location,value\n2025-01-11,50,30\n{row}\n")

    if isinstance(found, str):
        with pytest.raises(UserError) as refused:
            read_observations(path)
        assert found in str(refused.value)
    else:
        counts = {(place, count) for (_, place), count in read_observations(path).items()}
        assert counts == {("50", 30.0), *found}


def test_forecasts_of_others_may_have_lost_the_zero_of_a_code(tmp_path):
    rows = [f"2025-01-11,{FLUSIGHT.target},0,2025-01-11,6,quantile,{level},100" for level in QUANTILES]

    found = read_hub_table(tmp_path / "x.csv", "\n".join([",".join(COLUMNS), *rows]) + "\n")

    assert found.locations.tolist() == ["06"]
