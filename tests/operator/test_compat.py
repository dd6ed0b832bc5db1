"""`invoke compat` finds the experiments in a checkout of upstream, runs each, and prints which run."""

import os
from pathlib import Path

import pytest
import yaml

from ops.laptop.compat import _small
from ops.laptop.published import find_experiments
from tests.experiments import OBSERVED, calibrated, sampled_twice, simulated
from tests.operators import Operator


class Checkout:
    """A checkout with tutorials/data, in which a test writes YAML files."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.data = folder / "tutorials" / "data"
        self.data.mkdir(parents=True)
        (self.data / "observed.csv").write_text(OBSERVED)
        (folder / ".github").mkdir()
        (folder / ".github" / "model.yml").write_text("model: {}\n")
        (folder / "mkdocs.yml").write_text("site_name: x\n")

    def write(self, name: str, kind: str, content: dict) -> None:
        (self.data / name).write_text(yaml.safe_dump({kind: content}, sort_keys=False))


def everywhere(experiment: dict) -> dict:
    """Return a model without a population, as upstream's that have a modelset."""
    del experiment["model"]["population"]["name"]
    return experiment["model"]


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    """A checkout with a model alone, one of several populations, a sampling and a calibration."""
    made = Checkout(tmp_path / "upstream")
    made.write("basic_basemodel_standalone.yml", "model", simulated()["model"])
    made.write("basic_basemodel_multipop.yml", "model", everywhere(simulated()))
    made.write("basic_modelset_multipop.yml", "modelset", {"population_names": ["US-VT", "US-MA"]})
    made.write("basic_basemodel_sampling.yml", "model", everywhere(sampled_twice()))
    made.write("basic_modelset_sampling.yml", "modelset", sampled_twice()["modelset"])
    made.write("flu_basemodel_calibration.yml", "model", everywhere(calibrated()))
    made.write("flu_modelset_calibration.yml", "modelset", calibrated()["modelset"])
    made.write("flu_modelset_udf.yml", "modelset", calibrated()["modelset"])
    made.write("basic_output.yaml", "output", {"quantiles": {"transitions": ["S_to_I_total"]}})
    return made


def test_files_go_together_by_name_and_by_what_the_model_marks(checkout):
    checkout.write("other_output.yaml", "output", {"trajectories": {"transitions": ["E_to_I_total"]}})
    checkout.write("else_modelset_sampling.yml", "modelset", sampled_twice()["modelset"])

    found = find_experiments(checkout.folder)

    assert [(each.name, each.problem) for each in found] == [
        ("basic_basemodel_multipop.yml + basic_modelset_multipop.yml + basic_output.yaml", ""),
        ("basic_basemodel_sampling.yml + basic_modelset_sampling.yml + basic_output.yaml", ""),
        ("basic_basemodel_standalone.yml + basic_output.yaml", ""),
        ("flu_basemodel_calibration.yml + flu_modelset_calibration.yml + basic_output.yaml", ""),
        ("flu_basemodel_calibration.yml + flu_modelset_udf.yml + basic_output.yaml", ""),
        ("else_modelset_sampling.yml", "no model in its folder goes with it"),
    ]


def test_experiments_that_all_run_are_listed_with_exit_code_0(tmp_path, checkout):
    (checkout.data / "flu_modelset_udf.yml").unlink()

    ended = Operator(tmp_path, simulated()).invoke("compat", "--from", str(checkout.folder))

    assert ended.exit_code == 0, ended.output
    assert "small sizes, at most: num_particles 10, num_generations 2, " in ended.output
    assert [line.split()[-1] for line in ended.lines if line.startswith(("basic_", "flu_"))] == ["runs"] * 4
    assert not (tmp_path / "local" / "bucket").exists()


def test_one_that_does_not_run_is_listed_with_its_reason_and_exit_code_1(tmp_path):
    checkout = Checkout(tmp_path / "upstream")
    mistaken, starting = simulated()["model"], simulated()["model"]
    mistaken["transitions"][1]["rate"] = "gama"
    starting["timespan"]["end_date"] = "2025-01-08"
    checkout.write("a_basemodel.yml", "model", mistaken)
    checkout.write("b_basemodel.yml", "model", simulated()["model"])
    checkout.write("c_basemodel.yml", "model", starting)
    checkout.write("e_basemodel.yml", "model", {"compartments": 3, "transitions": 4, "parameters": [5]})
    (checkout.data / "f_basemodel.yml").write_text("model: {a: &a [*a]}\n")
    os.mkfifo(checkout.data / "g_basemodel.yml")
    (checkout.data / "d_basemodel.yml").write_text("model: [\n")

    ended = Operator(tmp_path, simulated()).invoke("compat", "--from", str(checkout.folder), "--full")

    assert ended.exit_code == 1
    assert ended.last_line == "error: 5 of 6 experiments do not run"
    rows = {line.split()[0]: line for line in ended.lines if "_basemodel.yml  " in line}
    assert "refused  a_basemodel.yml:32: " in rows["a_basemodel.yml"]
    assert '"gama", which is not a parameter (did you mean "gamma"?)' in rows["a_basemodel.yml"]
    assert rows["b_basemodel.yml"].split()[1] == "runs"
    assert "no interval of W-SAT is simulated whole" in rows["c_basemodel.yml"]
    assert "d_basemodel.yml:2: " in rows["d_basemodel.yml"]
    assert "e_basemodel.yml:1: " in rows["e_basemodel.yml"]
    assert "an anchor contains itself" in rows["f_basemodel.yml"]
    assert "sizes as published" in ended.output


@pytest.mark.parametrize(
    ("folder", "said"), [("nowhere", "no such folder"), ("empty", "no YAML file has the key model")]
)
def test_a_folder_without_experiments_is_refused(tmp_path, folder, said):
    (tmp_path / "empty").mkdir()

    ended = Operator(tmp_path, simulated()).invoke("compat", "--from", str(tmp_path / folder))

    assert (ended.exit_code, len(ended.lines)) == (2, 1)
    assert said in ended.last_line


def test_a_small_size_is_on_the_line_of_the_published_one_and_added_where_there_is_none(tmp_path):
    checkout = Checkout(tmp_path)
    text = "model: # n_sims: 900\n  simulation:\n    n_sims: 900 # many\n  x: {Nsim: 7, n_samples: 900}\n"
    (checkout.data / "model.yml").write_text(text)
    calibration = calibrated()["modelset"]
    calibration["calibration"]["strategy"] = {"name": "rejection"}
    checkout.write("modelset.yml", "modelset", calibration)

    model, modelset = sorted(
        (file for each in find_experiments(tmp_path) for file in each.files), key=lambda file: file.kind
    )
    smaller = yaml.safe_load(_small(modelset, modelset.path.read_text()))

    assert _small(model, text) == text.replace("    n_sims: 900", "    n_sims: 5").replace("s: 900}", "s: 2}")
    strategy = smaller["modelset"]["calibration"]["strategy"]
    assert strategy == {"name": "rejection", "options": {"num_particles": 10}}
