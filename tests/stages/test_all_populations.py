"""`population_names: [all]` leaves out, with a warning, the places that the observed data do not have."""

import shutil

import pytest

from modeling.failures import UserError
from modeling.populations import expand_all, locations
from tests.builds import workloads_in
from tests.changes import contacts
from tests.experiments import OBSERVED, POPULATIONS, calibrated, sampled, simulated, write_repository

EVERYWHERE = expand_all(["all"])


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    """A folder of populations in which each place of "all" has the people of Vermont."""
    folder = tmp_path_factory.mktemp("populations")
    shutil.copytree(POPULATIONS, folder, dirs_exist_ok=True)
    header, *rows = (POPULATIONS / "locations.csv").read_text().splitlines()
    vermont = next(row for row in rows if "United_States_Vermont" in row)
    names = [locations()[code].epydemix_name for code in EVERYWHERE]
    listed = [vermont.replace("United_States_Vermont", name) for name in names]
    (folder / "locations.csv").write_text("\n".join([header, *listed]) + "\n")
    for name in names:
        if not (folder / "data" / name).exists():
            (folder / "data" / name).symlink_to(folder / "data" / "United_States_Vermont")
    return folder


def build(folder, everywhere, experiment, names, observed=OBSERVED) -> list:
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["population_names"] = names
    config = write_repository(folder, experiment, observed=observed)
    return workloads_in(config, populations=everywhere)


def test_a_calibration_everywhere_is_one_of_each_place_with_data(tmp_path, everywhere, caplog):
    data = OBSERVED + OBSERVED.partition("\n")[2].replace("US-VT", "US-WY").replace("US-MA", "US")

    built = build(tmp_path, everywhere, calibrated(), ["all"], data)

    assert [(w.index, w.primary_id, w.population) for w in built] == [
        (0, 0, "US"),
        (1, 1, "US-MA"),
        (2, 2, "US-VT"),
        (3, 3, "US-WY"),
    ]
    [left_out] = [line for line in caplog.messages if "left out of all" in line]
    assert left_out.startswith("modelset.yaml:2: left out of all: US-AK, US-AL, ")
    assert (
        "and 41 more; the first: modelset.yaml:13: observed.csv has no rows for US-AK in column" in left_out
    )


def test_a_place_without_data_is_refused_where_it_is_named_or_no_other_is_left(tmp_path, everywhere):
    with pytest.raises(UserError, match="has no rows for US-PR"):
        build(tmp_path / "named", everywhere, calibrated(), ["all", "US-PR"])
    with pytest.raises(UserError, match="has no rows for "):
        build(tmp_path / "none", everywhere, calibrated(), ["all"], OBSERVED.replace("US-", "XX-"))


def test_an_ensemble_and_a_sampling_everywhere_have_every_place(tmp_path, everywhere):
    alone = simulated() | {"modelset": {}}

    ensembles = build(tmp_path / "alone", everywhere, alone, ["all"])
    sets = build(tmp_path / "sampled", everywhere, sampled(), ["all"])

    assert [w.population for w in ensembles] == EVERYWHERE
    assert [w.primary_id for w in ensembles] == list(range(53))
    assert [w.population for w in sets[::3]] == EVERYWHERE
    assert [w.index for w in sets] == list(range(3 * 53))


def test_changes_over_time_are_logged_of_the_first_places_only(tmp_path, everywhere, caplog):
    experiment = sampled()
    experiment["model"]["interventions"] = [contacts(0.5, "2025-01-10", "2025-01-12")]

    with caplog.at_level("INFO"):
        build(tmp_path, everywhere, experiment, ["US-VT", "US-MA", "US-WY", "US-AK", "US-AL"])

    about = [line for line in caplog.messages if "over time" in line]
    said = "changes over time: contacts of layer home × 0.5 on 3 of 42 days: 2025-01-10 to 2025-01-12"
    assert about == [
        *(f"{place} {said}" for place in ("US-VT", "US-MA", "US-WY")),
        "the report says what changes over time in the other populations",
    ]
