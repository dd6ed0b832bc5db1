"""run_metadata.json: what a run was made with and what it took; what is not known is not there."""

import json
import shutil
import tracemalloc

import pytest

from modeling.run_names import DEFAULT_ENGINE
from pipeline.environment import read_stage_context
from pipeline.machine_costs import setup_of_task
from pipeline.metadata import StageUse
from tests.experiments import sampled, simulated
from tests.stage_scripts import RUN_ID, Stages

IMAGE = f"us-central1-docker.pkg.dev/my-lab/repo/epymodelingsuite@sha256:{'5' * 64}"
OTHER_IMAGE = IMAGE.replace("5" * 64, "6" * 64)
SETUP = {
    "region": "us-central1",
    "max_parallelism": 100,
    "prices_as_of": "2025-10-23",
    "machine_start_seconds": 120,
    "task_start_seconds": 5,
    "stages": {
        stage: {
            "cpu_milli": 2000,
            "memory_mib": 4096,
            "machine_type": machine_type,
            "provisioning_model": "SPOT" if stage == "runner" else "STANDARD",
            "tasks_per_machine": 1,
            "priced_as": machine_type or "e2-standard-2",
            "usd_machine_hour": 0.36,
        }
        for stage, machine_type in (
            ("builder", "c4d-standard-2"),
            ("runner", ""),
            ("output", "c4d-standard-4"),
        )
    },
}


def metadata_of(stages: Stages) -> dict:
    return json.loads((stages.run_folder / "run_metadata.json").read_text())


def summary_of(stages: Stages, name: str) -> dict:
    return json.loads((stages.run_folder / "summaries" / f"{name}.json").read_text())


def finished(folder, **variables) -> Stages:
    stages = Stages(folder, sampled(), **variables)
    for stage, task in (("builder", None), *(("runner", index) for index in range(3)), ("output", None)):
        ended = stages.run(stage, TASK_INDEX=task)
        assert ended.exit_code == 0, ended.output
    return stages


@pytest.fixture(scope="module")
def in_cloud(tmp_path_factory):
    """Stages that are told of their image and machines, as in the cloud."""
    return finished(
        tmp_path_factory.mktemp("stages"),
        IMAGE_URI=IMAGE,
        RUN_SETUP=json.dumps(SETUP),
        CODE_COMMIT="0123456789abcdef",
        SUITE_COMMIT="fedcba9876543210",
        BATCH_TASK_RETRY_ATTEMPT="1",
    )


def test_a_run_tells_image_commit_machines_and_what_each_stage_took(in_cloud):
    metadata = metadata_of(in_cloud)

    assert metadata["image_uri"] == IMAGE
    assert metadata["image_digest"] == f"sha256:{'5' * 64}"
    assert metadata["commits"] == {"code": "0123456789abcdef", "suite": "fedcba9876543210"}
    asked = {"seed": 11, "suite": "built-in", "engine": DEFAULT_ENGINE, "allow_partial": False}
    assert metadata["arguments"] == asked
    [output], [runner] = metadata["machines"]["output"], metadata["machines"]["runner"]
    assert output["machine_type"] == "c4d-standard-4"
    assert "machine_type" not in runner  # Batch chose it, and did not tell
    assert (runner["provisioning_model"], runner["region"], runner["tasks"]) == ("SPOT", "us-central1", 3)
    assert len(metadata["cpus"]) == 1
    assert {"numpy", "epydemix"} <= metadata["packages"].keys()
    runner = metadata["stages"]["runner"]
    assert (runner["tasks"], runner["failed"], runner["retries"]) == (3, 0, 3)
    assert runner["cpu_seconds"] > 0
    assert runner["longest_seconds"] <= runner["wall_seconds"] <= 3 * runner["longest_seconds"]
    assert runner["elapsed_seconds"] >= runner["longest_seconds"]
    assert runner["peak_memory_mib"] > 10


@pytest.mark.parametrize(
    ("noted", "commit"),
    [
        ('{"url": "https://git.example/s", "vcs_info": {"vcs": "git", "commit_id": "4b9c40d"}}', "4b9c40d"),
        ('{"url": "file:///home/me/suite", "dir_info": {}}', ""),
        ("{", ""),
        ("[]", ""),
        (None, ""),
    ],
    ids=["git", "a folder", "damaged", "a list", "an index"],
)
def test_on_a_laptop_the_commit_of_the_suite_is_where_pip_took_it_from(tmp_path, monkeypatch, noted, commit):
    installed = tmp_path / "epymodelingsuite-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: epymodelingsuite\nVersion: 0.1.0\n")
    if noted is not None:
        (installed / "direct_url.json").write_text(noted)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = {"EXP_ID": "trial", "RUN_ID": RUN_ID}

    assert read_stage_context(run).suite_commit == commit
    assert read_stage_context(run | {"SUITE_COMMIT": "1a2b3c4"}).suite_commit == "1a2b3c4"


def test_the_cost_is_that_of_the_seconds_the_tasks_took(in_cloud):
    metadata = metadata_of(in_cloud)
    stages, cost = metadata["stages"], metadata["estimated_cost"]

    # 0.36 dollars an hour are 0.0001 a second; three machines were started, and each task was tried twice
    runner = 0.0001 * (3 * 120 + 2 * 3 * 5 + 2 * stages["runner"]["wall_seconds"])
    output = 0.0001 * (120 + 2 * 5 + 2 * stages["output"]["wall_seconds"])
    assert cost["stages_usd"]["runner"] == pytest.approx(runner, abs=2e-6)
    assert cost["stages_usd"]["output"] == pytest.approx(output, abs=2e-6)
    assert cost["total_usd"] == pytest.approx(sum(cost["stages_usd"].values()), abs=2e-6)
    assert cost["prices_as_of"] == ["2025-10-23"]
    assert metadata["machines"]["runner"][0]["priced_as"] == "e2-standard-2"
    assert metadata["machines"]["runner"][0]["usd"] == cost["stages_usd"]["runner"]


def on_other_machines(usd_machine_hour: float) -> dict:
    stages = {
        stage: told
        | {"machine_type": "n2-standard-8", "provisioning_model": "STANDARD"}
        | {"priced_as": "n2-standard-8", "usd_machine_hour": usd_machine_hour}
        for stage, told in SETUP["stages"].items()
    }
    return SETUP | {"stages": stages}


@pytest.fixture(scope="module")
def gone_on(in_cloud, tmp_path_factory):
    """The same run gone on with in another job, on other machines and with another image: one input anew."""
    folder = tmp_path_factory.mktemp("gone-on")
    shutil.copytree(in_cloud.folder, folder, dirs_exist_ok=True)
    (folder / "bucket" / "trial" / RUN_ID / "runner-artifacts" / "result_0002.pkl").unlink()
    stages = Stages(folder, sampled(), IMAGE_URI=OTHER_IMAGE, RUN_SETUP=json.dumps(on_other_machines(3.6)))
    for stage, task in (("builder", None), ("runner", 2), ("output", None)):
        ended = stages.run(stage, TASK_INDEX=task, JOBID=f"{stage}-later")
        assert ended.exit_code == 0, ended.output
    return stages


def test_a_run_gone_on_with_other_settings_tells_on_what_each_part_ran(in_cloud, gone_on):
    before, after = metadata_of(in_cloud), metadata_of(gone_on)

    machines = {
        stage: [(each.get("machine_type"), each["provisioning_model"], each["tasks"]) for each in kinds]
        for stage, kinds in after["machines"].items()
    }
    assert machines == {
        "builder": [("c4d-standard-2", "STANDARD", 1), ("n2-standard-8", "STANDARD", 1)],
        "runner": [(None, "SPOT", 3), ("n2-standard-8", "STANDARD", 1)],
        "output": [("c4d-standard-4", "STANDARD", 1), ("n2-standard-8", "STANDARD", 1)],
    }
    assert after["images"] == sorted([IMAGE, OTHER_IMAGE])
    assert "images" not in before
    for stage, use in after["stages"].items():
        assert use["tasks"] == before["stages"][stage]["tasks"]
        assert use["tries"] == use["tasks"] + 1
        assert use["retries"] == before["stages"][stage]["retries"]
        assert use["wall_seconds"] > before["stages"][stage]["wall_seconds"]
        assert use["cpu_seconds"] > before["stages"][stage]["cpu_seconds"]
        assert use["peak_memory_mib"] >= before["stages"][stage]["peak_memory_mib"]


def test_the_cost_of_a_run_gone_on_with_is_that_of_all_its_jobs(in_cloud, gone_on):
    before, after = metadata_of(in_cloud)["estimated_cost"], metadata_of(gone_on)["estimated_cost"]

    for stage in ("builder", "runner", "output"):
        seconds = summary_of(gone_on, "runner_0002" if stage == "runner" else stage)["wall_seconds"]
        of_the_second = 0.001 * (120 + 5 + seconds)  # 3.6 dollars an hour, one machine more
        assert after["stages_usd"][stage] - before["stages_usd"][stage] == pytest.approx(
            of_the_second, abs=4e-6
        )
    assert after["total_usd"] == pytest.approx(sum(after["stages_usd"].values()), abs=4e-6)
    assert not {"tries_left_out", "inputs_without_record"} & after.keys()
    assert after["lower_bound_without"].startswith("tries that were killed")


def test_what_nobody_told_of_is_said_to_be_left_out_of_the_cost(gone_on, tmp_path):
    shutil.copytree(gone_on.folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "bucket" / "trial" / RUN_ID / "summaries" / "runner_0001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "setup": {"usd_machine_hour": "1"}}))
    path.with_name("runner_0000.json").unlink()

    ended = Stages(tmp_path, sampled()).run("output")

    assert ended.exit_code == 0, ended.output
    metadata = json.loads((path.parents[1] / "run_metadata.json").read_text())
    assert metadata["machines"]["runner"][0]["tasks"] == 1
    assert metadata["estimated_cost"]["inputs_without_record"] == 1
    assert metadata["estimated_cost"]["tries_left_out"] == 2  # of that task, and of this stage C


def used_by(*inputs: list[dict], inputs_per_task: int = 1, job: str = "runner-1", **told) -> StageUse:
    """Return what the inputs of a job used, by their attempts, oldest first."""
    setup = setup_of_task(SETUP, "runner", job) | told
    use = StageUse("runner")
    for index, attempts in enumerate(inputs):
        known = {"batch_task_index": index // inputs_per_task, "setup": setup}
        *earlier, last = (known | used for used in attempts)
        use.add(last | {"task_index": index, "earlier": earlier})
    return use


def tried(seconds: float, attempt: int = 0, status: str = "done") -> dict:
    return {"wall_seconds": seconds, "cpu_seconds": seconds / 2, "retry_attempt": attempt, "status": status}


def test_a_try_that_told_what_it_took_counts_as_that_and_one_that_was_killed_as_the_last():
    use = used_by([tried(10.0, 1, "failed"), tried(30.0, 2)])

    [machine] = use.machines.kinds.values()
    assert (use.tasks, use.attempts, use.describe()["retries"], use.wall_seconds) == (1, 2, 2, 40.0)
    assert (use.done, use.done_seconds, use.done_cpu_seconds) == (1, 30.0, 15.0)
    assert machine.usd() == pytest.approx(0.0001 * (120 + 3 * 5 + 10 + 30 + 30))


def test_tasks_side_by_side_and_of_several_inputs_share_the_starts_of_machines():
    inputs = [[tried(30.0), tried(30.0, 1)]] * 8

    use = used_by(*inputs, inputs_per_task=2, tasks_per_machine=2, max_parallelism=3)

    [machine] = use.machines.kinds.values()
    # 4 tasks, each tried twice, 3 of them at once, on 2 machines
    assert machine.usd() == pytest.approx(0.0001 * (2 * 120 + (4 * 2 * 5 + 8 * 60) / 2))
    assert machine.describe()["tasks"] == 4


@pytest.mark.parametrize(
    ("first_attempts", "retries", "seconds"),
    [
        ([0, *[1] * 99], 1, 1000),  # taken away after its first input, of which the first try told
        ([1] * 100, 1, 1010),  # before its first input ended: nobody told of the first try
        ([2] * 50 + [4] * 50, 4, 1030),
    ],
)
def test_a_retry_of_a_task_of_many_inputs_counts_once(first_attempts, retries, seconds):
    peaceful = [[tried(10.0)]] * 100

    use = used_by(*([tried(10.0, attempt)] for attempt in first_attempts), *peaceful, inputs_per_task=100)

    [machine] = use.machines.kinds.values()
    assert use.describe()["retries"] == retries
    assert machine.describe()["tasks"] == 2
    starts = 2 * 120 + (2 + retries) * 5
    assert machine.usd() == pytest.approx(0.0001 * (starts + seconds + 1000))


def test_the_attempts_of_an_input_in_several_jobs_are_of_as_many_tasks():
    setups = [setup_of_task(SETUP, "runner", job) for job in ("runner-1", "runner-2")]
    use = StageUse("runner")
    for index in range(4):  # two tasks of the first job, then one of the second with what failed there
        first = tried(10.0, 1, "failed") | {"setup": setups[0], "batch_task_index": index // 2}
        second = tried(20.0, 1) | {"setup": setups[1], "batch_task_index": 0}
        use.add(second | {"task_index": index, "earlier": [first]})

    [machine] = use.machines.kinds.values()
    assert (machine.describe()["jobs"], machine.describe()["tasks"]) == (2, 3)
    assert use.describe()["retries"] == 3


def test_attempts_of_a_hundred_thousand_inputs_take_no_memory():
    use, setup = StageUse("runner"), setup_of_task(SETUP, "runner", "runner-1")

    def add(indices: range) -> None:
        for index in indices:
            use.add(tried(1.0, 1) | {"task_index": index, "batch_task_index": index // 2, "setup": setup})

    add(range(100))
    tracemalloc.start()
    add(range(100, 100_000))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert use.describe()["retries"] == 50_000
    assert kept < 20_000  # bytes


def test_a_summary_is_small_however_much_it_tells(in_cloud):
    summaries = list((in_cloud.run_folder / "summaries").iterdir())

    assert len(summaries) == 5
    assert max(path.stat().st_size for path in summaries if path.stem != "output") < 2048


@pytest.fixture(scope="module")
def on_laptop(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("laptop"))


def test_what_is_not_known_on_a_laptop_is_left_out(on_laptop):
    metadata = metadata_of(on_laptop)

    unknown = {"image_uri", "image_digest", "images", "machines", "estimated_cost", "commits"}
    assert not unknown & metadata.keys()
    assert "count" not in metadata["arguments"]


def test_machines_do_not_change_what_comes_out(in_cloud, on_laptop):
    assert {p.name: p.read_bytes() for p in on_laptop.outputs().glob("*.csv.gz")} == {
        p.name: p.read_bytes() for p in in_cloud.outputs().glob("*.csv.gz")
    }


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"stages": {"runner": {"usd_machine_hour": "1"}}}', "null"]
)
def test_machines_that_are_none_are_refused(tmp_path, text):
    ended = Stages(tmp_path, simulated()).run("builder", RUN_SETUP=text)

    assert ended.exit_code == 2
    assert "JSON of the machines of a run" in ended.last_line


def test_tasks_that_failed_are_counted(on_laptop, tmp_path):
    shutil.copytree(on_laptop.folder, tmp_path, dirs_exist_ok=True)
    run_folder = tmp_path / "bucket" / "trial" / RUN_ID
    (run_folder / "runner-artifacts" / "result_0001.pkl").unlink()
    (run_folder / "builder-artifacts" / "input_0001.pkl").write_bytes(b"cut short")
    stages = Stages(tmp_path, sampled())

    failed = stages.run("runner", TASK_INDEX=1)
    ended = stages.run("output", ALLOW_PARTIAL_RESULTS=1)

    assert failed.exit_code == 2
    assert ended.exit_code == 0, ended.output
    metadata = metadata_of(stages)
    runner = metadata["stages"]["runner"]
    assert (runner["tasks"], runner["tries"], runner["failed"]) == (3, 4, 1)
    assert metadata["missing"] == [1]
    assert metadata["arguments"]["allow_partial"] is True
