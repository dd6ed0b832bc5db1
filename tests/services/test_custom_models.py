"""The model that docs/custom-models.md builds is used as it stands there, without a change to services/."""

import json
import re
import runpy
from contextlib import ExitStack

import pytest
import requests

from tests.experiments import REPOSITORY
from tests.web_services import PATHS, Lane, started

PAGE = (REPOSITORY / "docs" / "custom-models.md").read_text("utf-8")
MODEL, TRIAL = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
VERMONT = "location,value\nVT,10\nVT,12\nVT,16\n"


@pytest.fixture(scope="module")
def custom(cloud, tmp_path_factory):
    """The services with the model of the page, and nothing else."""
    folder = tmp_path_factory.mktemp("custom")
    (folder / "baseline.py").write_text(MODEL)
    variables = {"MODELS": "baseline:Baseline", "PYTHONPATH": str(folder)}
    with ExitStack() as stack:
        services = {
            name: stack.enter_context(started(name, cloud.storage, folder, **variables)) for name in PATHS
        }
        yield Lane(cloud, services)


def test_the_baseline_of_the_page_forecasts_each_location(custom):
    result = custom.run("us.weekly.csv", f"{VERMONT}NH,5\n".encode(), shards=2)

    # changes 2, 4 and their opposites -4, -2, 2, 4 around 16: the quartiles are -2.5 and 2.5
    folder = f"results/us.weekly.csv/{result['generation']}/"
    rows = custom.content(folder + "quantiles.csv").decode().splitlines()
    assert rows[0] == "location,level,value"
    assert {row.rsplit(",", 1)[0]: row.rsplit(",", 1)[1] for row in rows[1:]} == {
        "VT,0.05": "12.3",
        "VT,0.25": "13.5",
        "VT,0.5": "16",
        "VT,0.75": "18.5",
        "VT,0.95": "19.7",
    }
    assert result["failed"] == [{"unit": "NH", "reason": "1 of the 3 weeks that a forecast needs"}]
    assert (result["model"], result["summary"]) == ("baseline@1", {"rows": 5})


@pytest.mark.parametrize(
    "content",
    [
        b"place,value\nVT,1\n",
        b"location,value\nVT,many\n",
        b"location,value\nVT,nan\n",
        b"\xff\xfe\x00",
        b"PK\3",
    ],
)
def test_a_file_that_it_cannot_read_is_the_users_mistake(custom, content):
    generation = custom.upload("us.weekly.csv", content)

    answer = custom.services["preprocess"].ask(custom.preprocess_body("us.weekly.csv", generation))

    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("us.weekly.csv: ")


def test_the_trial_of_the_page_prints_what_it_says(tmp_path, monkeypatch, capsys):
    (tmp_path / "baseline.py").write_text(MODEL)
    (tmp_path / "trial.py").write_text(TRIAL)
    monkeypatch.syspath_prepend(tmp_path)

    runpy.run_path(str(tmp_path / "trial.py"))

    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == re.search(r"# (\{.*\})$", TRIAL, re.MULTILINE)[1]
    assert printed[1:3] == ["location,level,value", "VT,0.05,12.3"]


def test_the_page_names_the_fields_of_result_json_and_of_health(custom):
    result = custom.run("one.weekly.csv", VERMONT.encode())
    health = json.loads(re.search(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1])

    table = PAGE.split("| field of result.json")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))) == set(
        result
    )
    assert requests.get(custom.services["inference"].url("/health"), timeout=10).json() == health
