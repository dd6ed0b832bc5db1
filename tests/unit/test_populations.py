"""Populations are read as epydemix reads them, from a folder or downloaded once."""

import http.server
import os
import shutil
import threading

import numpy as np
import pytest
from epydemix.population import load_epydemix_population

from modeling import populations
from modeling.failures import TemporaryFault, UserError
from modeling.populations import expand_all, find_location, load_population, locations
from tests.experiments import POPULATIONS

FLU = ["0-4", "5-17", "18-49", "50-64", "65+"]
GROUPINGS = [FLU, ["0-17", "18-64", "65+"], ["0-4", "5-64", "65-79", "80-83", "84+"], ["0+"]]
FIVE_YEARS = ["0-4", "5-19", "20-49", "50-64", "65+"]


def single_ages(group: str) -> list[str]:
    """Return the ages of a group as epydemix-data spells them."""
    first, _, last = group.rstrip("+").partition("-")
    last = "84" if group.endswith("+") else last
    return [f"{age}+" if age == 84 else str(age) for age in range(int(first), int(last) + 1)]


def five_years(group: str) -> list[str]:
    """Return the five-year groups that make up a group."""
    first, _, last = group.rstrip("+").partition("-")
    starts = range(int(first), 80 if group.endswith("+") else int(last), 5)
    return [f"{start}+" if start == 75 else f"{start}-{start + 4}" for start in starts if start <= 75]


def assert_equal_to_epydemix(code, age_groups, folder, ages_of=single_ages, source=None):
    own = load_population(code, age_groups, [folder], folder / "unused")
    reference = load_epydemix_population(
        own.epydemix_name,
        contacts_source=source,
        path_to_data=str(folder),
        age_group_mapping={group: ages_of(group) for group in age_groups},
        supported_contacts_sources={"age": []},
    )

    assert own.age_groups == list(reference.Nk_names) == age_groups
    assert own.sizes.tolist() == np.asarray(reference.Nk).tolist()
    assert list(own.contacts) == list(reference.contact_matrices)
    for layer, matrix in reference.contact_matrices.items():
        np.testing.assert_allclose(own.contacts[layer], matrix, rtol=1e-12)
    total = sum(reference.contact_matrices.values())
    assert own.eigenvalue == pytest.approx(np.linalg.eigvals(total).real.max(), rel=1e-12)


@pytest.mark.parametrize("code", ["US-VT", "US-MA"])
@pytest.mark.parametrize("age_groups", GROUPINGS, ids=" ".join)
def test_a_population_is_that_of_epydemix(code, age_groups):
    assert_equal_to_epydemix(code, age_groups, POPULATIONS)


@pytest.mark.parametrize("age_groups", GROUPINGS, ids=" ".join)
@pytest.mark.parametrize("code", ["US", "US-WY", "US-DC"])
def test_a_real_population_is_that_of_epydemix(reference_data, code, age_groups):
    assert_equal_to_epydemix(code, age_groups, reference_data / "epydemix-data")


@pytest.mark.parametrize(
    ("code", "source"),
    [("PR", "prem_2021"), ("US", "prem_2021"), ("US", "prem_2017"), ("US", "litvinova_2025")],
)
def test_contacts_in_sixteen_groups_are_those_of_epydemix(reference_data, tmp_path, code, source):
    location = find_location("US-PR" if code == "PR" else code)
    (tmp_path / "data").mkdir()
    os.symlink(
        reference_data / "epydemix-data" / "data" / location.epydemix_name,
        tmp_path / "data" / location.epydemix_name,
    )
    (tmp_path / "locations.csv").write_text(
        f"location,primary_contact_source\n{location.epydemix_name},{source}\n"
    )

    assert_equal_to_epydemix(location.iso, FIVE_YEARS, tmp_path, five_years, source)
    with pytest.raises(UserError, match="the model's groups cut the one from 15"):
        load_population(location.iso, ["0-17", "18+"], [tmp_path], tmp_path / "unused")


def test_contacts_are_reciprocal_after_groups_are_joined():
    """What group i has with group j, j has with i: people times contacts is symmetric where the data are."""
    fine = load_population("US-VT", [f"{a}-{a}" for a in range(84)] + ["84+"], [POPULATIONS], POPULATIONS)
    coarse = load_population("US-VT", ["0-17", "18-64", "65+"], [POPULATIONS], POPULATIONS)

    whose = np.repeat([0, 1, 2], [18, 47, 20])
    for layer in fine.contacts:
        meetings = fine.contacts[layer] * fine.sizes[:, None]
        joined = [[meetings[np.ix_(whose == i, whose == j)].sum() for j in range(3)] for i in range(3)]
        np.testing.assert_allclose(coarse.contacts[layer] * coarse.sizes[:, None], joined, rtol=1e-12)
    assert coarse.sizes.sum() == fine.sizes.sum()


@pytest.mark.parametrize("age_groups", GROUPINGS, ids=" ".join)
def test_people_of_a_span_of_ages_are_counted_by_age_group(age_groups):
    population = load_population("US-VT", age_groups, [POPULATIONS], POPULATIONS)

    everybody, infants, half = (population.people_aged(*months) for months in ((0, np.inf), (0, 12), (6, 12)))
    parts = [population.people_aged(*months) for months in ((0, 6), (6, 780), (780, 1008), (1008, np.inf))]

    assert everybody.tolist() == population.sizes.tolist()
    assert infants.tolist() == [5112] + [0] * (len(age_groups) - 1)
    assert half[0] == 2556
    assert sum(parts).tolist() == population.sizes.tolist()


def test_all_is_the_united_states_its_states_and_two_territories(reference_data):
    everywhere = expand_all(["all"])

    codes = set(everywhere)
    assert len(everywhere) == len(codes) == 53
    assert {"US", "US-DC", "US-PR", "US-AL", "US-WY"} <= codes
    assert {find_location(c).epydemix_name for c in codes} == {
        path.name for path in (reference_data / "epydemix-data" / "data").iterdir()
    }
    assert expand_all(["all", "US-VT"]) == everywhere
    assert expand_all(["all", "FR"]) == [*everywhere, "FR"]


def test_a_location_is_found_by_its_code_or_its_name():
    assert find_location("US-MA") is find_location("United_States_Massachusetts")
    assert expand_all(["United_States_Vermont", "US-MA"]) == ["US-VT", "US-MA"]
    assert expand_all([" us-ma", "united_states_VERMONT", "All"])[:2] == ["US-MA", "US-VT"]
    with pytest.raises(UserError, match=r'"US-MAA" is not a known population \(did you mean "US-MA"\?\)'):
        find_location("US-MAA")


@pytest.mark.parametrize(
    "text",
    ["US-AL", "AL", "Alabama", "01", "1", "United_States_Alabama", " US-AL ", "us-al", "ALABAMA ", "A L"],
)
def test_observed_data_may_call_a_place_by_any_of_its_names(text):
    called = [i for i, place in locations().items() if i.startswith("US") and place.is_called(text)]

    assert called == ["US-AL"]


@pytest.mark.parametrize("text", ["", "0", "a", "US-XX", "Alabama City"])
def test_what_is_no_name_of_a_place_matches_none(text):
    assert [iso for iso, location in locations().items() if location.is_called(text)] == []


def test_no_two_places_share_a_name():
    for location in locations().values():
        if location.iso.startswith("US"):
            for name in (location.iso, location.epydemix_name, location.fips):
                assert [other.iso for other in locations().values() if other.is_called(name)] == [
                    location.iso
                ]


# -- downloading


class Server(http.server.ThreadingHTTPServer):
    """A folder over HTTP on 127.0.0.1; `answers` replaces the status of a path."""

    def __init__(self, folder):
        self.requested: list[str] = []
        self.answers: dict[str, int] = {}
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self):
                server.requested.append(self.path)
                status = next((s for part, s in server.answers.items() if part in self.path), None)
                if status == 0:  # the line goes dead half-way
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b"group_name,value\n0,5\n")
                elif status:
                    self.send_error(status)
                else:
                    super().do_GET()

            def log_message(self, *arguments):
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def server(monkeypatch):
    server = Server(POPULATIONS)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(populations, "DOWNLOAD_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "*")
    yield server
    server.shutdown()
    server.server_close()


def test_a_population_that_no_folder_has_is_downloaded_once(server, tmp_path):
    first = load_population("US-VT", FLU, [tmp_path / "none"], tmp_path / "cache")
    requests = list(server.requested)
    second = load_population("US-VT", FLU, [tmp_path / "none"], tmp_path / "cache")

    local = load_population("US-VT", FLU, [POPULATIONS], tmp_path / "unused")
    assert len(requests) == len(set(requests)) == 6  # people, sources, four layers
    assert server.requested == requests
    for population in (first, second):
        assert population.sizes.tolist() == local.sizes.tolist()
        assert all((population.contacts[layer] == local.contacts[layer]).all() for layer in local.contacts)
    assert not list((tmp_path / "cache").rglob(".*"))


def test_a_population_in_a_folder_is_not_downloaded(server, tmp_path):
    load_population("US-VT", FLU, [tmp_path / "none", POPULATIONS], tmp_path / "cache")

    assert server.requested == []
    assert not (tmp_path / "cache").exists()


def test_a_population_that_the_source_lacks_is_a_mistake_with_a_remedy(server, tmp_path):
    with pytest.raises(UserError) as caught:
        load_population("US-ME", FLU, [tmp_path / "none"], tmp_path / "cache")

    assert "population US-ME: http://127.0.0.1" in str(caught.value)
    assert "answered 404" in str(caught.value)
    assert "set EPYDEMIX_DATA_DIR to a folder that has it" in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503, 0], ids=["too many", "error", "busy", "cut off"])
def test_a_fault_of_the_source_is_passing_and_leaves_nothing_half_read(server, tmp_path, status):
    server.answers["age_distribution.csv"] = status

    with pytest.raises(TemporaryFault) as caught:
        load_population("US-VT", FLU, [], tmp_path / "cache")
    server.answers.clear()
    population = load_population("US-VT", FLU, [], tmp_path / "cache")

    assert "US-VT" in str(caught.value)
    assert "set EPYDEMIX_DATA_DIR to a copy of epydemix-data" in str(caught.value)
    assert population.sizes.sum() > 600_000


def test_a_source_that_cannot_be_reached_is_a_passing_fault(server, tmp_path):
    server.shutdown()
    server.server_close()

    with pytest.raises(TemporaryFault, match="US-VT cannot be downloaded"):
        load_population("US-VT", FLU, [], tmp_path / "cache")


def test_a_folder_that_lacks_a_population_is_named_where_nothing_can_be_downloaded(server, tmp_path):
    server.shutdown()
    server.server_close()
    (tmp_path / "own").mkdir()

    with pytest.raises(TemporaryFault, match=r"cannot be downloaded .*; it is not in .*/own; set EPYDEMIX"):
        load_population("US-VT", FLU, [tmp_path / "own"], tmp_path / "cache")


def test_a_folder_with_gaps_is_not_filled_from_elsewhere(server, tmp_path):
    shutil.copytree(POPULATIONS, tmp_path / "own")
    (tmp_path / "own" / "locations.csv").unlink()

    with pytest.raises(UserError, match=r"locations.csv: .*the population data are incomplete"):
        load_population("US-VT", FLU, [tmp_path / "own"], tmp_path / "cache")

    assert server.requested == []


def test_an_age_group_without_people_is_refused(tmp_path):
    shutil.copytree(POPULATIONS, tmp_path / "own")
    path = tmp_path / "own" / "data" / "United_States_Vermont" / "demographic" / "age_distribution.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(["group_name,value", *(f"{line.split(',')[0]},0" for line in lines[1:6]), *lines[6:]])
    )

    with pytest.raises(UserError, match="nobody lives in age group 0-4"):
        load_population("US-VT", FLU, [tmp_path / "own"], tmp_path / "cache")
