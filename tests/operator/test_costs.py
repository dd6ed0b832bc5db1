"""What a run is estimated to cost, before it is started: prices, the estimate, and what is suggested."""

import math

import pytest

from ops.cloud.deployment import StageLimits
from ops.cloud.prices import priced_machine, prices
from ops.cloud.spending import spending_of
from ops.costs.estimates import estimate, suggestions
from ops.costs.task_times import Measured, TaskTimes, of_metadata, of_summaries
from ops.failures import UserError
from ops.runs.run_setup import run_setup
from ops.settings import Settings
from pipeline.machine_costs import parse_run_setup, setup_of_task
from pipeline.metadata import StageUse

REGION = "us-central1"


def limits(machine_type="", cpu_milli=2000, memory_mib=4096):
    return StageLimits(cpu_milli, memory_mib, machine_type, 3600)


def measured(seconds=60.0, cpu_seconds=None, peak_memory_mib=None):
    return Measured({"runner": TaskTimes(seconds, "measured", cpu_seconds, peak_memory_mib)})


@pytest.mark.parametrize(
    ("machine_type", "listed"),
    [
        ("e2-standard-2", 0.06701142),
        ("n2-standard-2", 0.097118),
        ("c4-standard-2", 0.096866),
        ("c4-standard-4", 0.19767),
        ("c4d-standard-2", 0.089876046),
        ("c4d-standard-4", 0.18324767),
        ("c4d-highmem-2", 0.11784067),
        ("c4d-highmem-4", 0.239176918),
    ],
)
def test_a_machine_costs_what_the_list_says_and_its_disk(machine_type, listed):
    table = prices()
    kind = "hyperdisk-balanced" if machine_type.startswith("c4") else "pd-balanced"
    extras = 30 * table["boot_disk_gib_month"][kind]["usd"] / 730 + table["nat_machine_hour"]["usd"]

    machine = priced_machine(limits(machine_type), 1, REGION)

    assert machine.usd_hour == pytest.approx(listed + extras, abs=1e-6)
    assert machine.spot_usd_hour == pytest.approx(0.4 * listed + extras, abs=1e-6)
    assert not machine.warnings


@pytest.mark.parametrize(
    ("cpu_milli", "memory_mib", "tasks", "chosen"),
    [
        (2000, 4096, 1, "e2-standard-2"),
        (2000, 2048, 1, "e2-highcpu-2"),
        (1000, 4096, 2, "e2-standard-2"),
        (2000, 4096, 4, "e2-standard-8"),
        (64_000, 4096, 1, "n2-highcpu-64"),
    ],
)
def test_where_batch_chooses_the_cheapest_machine_that_holds_the_tasks_is_taken(
    cpu_milli, memory_mib, tasks, chosen
):
    machine = priced_machine(limits("", cpu_milli, memory_mib), tasks, REGION)

    assert machine.machine_type == chosen


@pytest.mark.parametrize(
    ("machine_type", "region", "said"),
    [
        ("n2d-standard-2", REGION, "n2d has no price in the table: priced as the nearest family, n2"),
        ("c4d-standard-2", "europe-west1", "europe-west1 has no prices in the table: those of us-central1"),
    ],
)
def test_what_has_no_price_is_said_and_counted_as_the_nearest(machine_type, region, said):
    machine = priced_machine(limits(machine_type), 1, region)

    assert any(said in warning for warning in machine.warnings)
    assert machine.usd_hour > 0


def naive_machine_seconds(tasks, machines, on_machine, task_seconds, start_seconds):
    """Give each task to the slot that is free first, and add up how long machines have work."""
    free = [[0.0] * on_machine for _ in range(machines)]
    for _ in range(tasks):
        slots = min(free, key=min)
        slots[slots.index(min(slots))] += task_seconds
    return sum(start_seconds + max(slots) for slots in free), start_seconds + max(map(max, free))


@pytest.mark.parametrize(
    ("workloads", "per_task", "on_machine", "parallelism"),
    [(1, 1, 1, 100), (50, 1, 1, 100), (400, 1, 1, 100), (400, 4, 1, 10), (400, 1, 2, 100), (200, 1, 4, 40)],
)
def test_machine_hours_are_those_of_tasks_given_out_one_by_one(workloads, per_task, on_machine, parallelism):
    settings = Settings(
        workloads_per_task=per_task, task_count_per_node=on_machine, max_parallelism=parallelism
    )
    assumed = prices()["assumed"]
    tasks = math.ceil(workloads / per_task)
    machines = math.ceil(min(tasks, parallelism) / on_machine)
    seconds = 30.0 * per_task + assumed["task_start_seconds"]

    runner = estimate(settings, workloads, measured(30.0)).stage("runner")

    busy, wall = naive_machine_seconds(tasks, machines, on_machine, seconds, assumed["machine_start_seconds"])
    assert (runner.tasks, runner.machines) == (tasks, machines)
    assert runner.machine_hours("STANDARD") == pytest.approx(busy / 3600)
    assert runner.wall_seconds("STANDARD") == pytest.approx(wall)
    assert runner.usd("STANDARD") == pytest.approx(busy / 3600 * runner.machine.usd_hour)


@pytest.mark.parametrize(
    ("per_task", "on_machine", "parallelism"), [(1, 1, 100), (2, 1, 5), (4, 2, 4), (1, 4, 20)]
)
def test_a_run_costs_the_same_before_it_meanwhile_and_in_its_metadata(per_task, on_machine, parallelism):
    settings = Settings(
        workloads_per_task=per_task, task_count_per_node=on_machine, max_parallelism=parallelism
    )
    tasks = 40 // per_task
    setup = setup_of_task(parse_run_setup(run_setup(settings)), "runner", "runner-1")
    use = StageUse("runner")
    for index in range(40):
        use.add({"wall_seconds": 30.0, "batch_task_index": index // per_task, "setup": setup})
    job = {
        "taskGroups": [
            {
                "taskCount": tasks,
                "parallelism": min(tasks, parallelism),
                "taskCountPerNode": on_machine,
                "taskSpec": {"computeResource": {"cpuMilli": 2000, "memoryMib": 4096}},
            }
        ],
        "allocationPolicy": {"instances": [{"policy": {}}]},
        "status": {},
    }
    task_seconds = 30.0 * per_task + prices()["assumed"]["task_start_seconds"]

    before = estimate(settings, 40, measured(30.0)).stage("runner").usd("STANDARD")
    meanwhile = spending_of(job, REGION, [task_seconds] * tasks).usd
    [machine] = use.machines.kinds.values()

    assert meanwhile == pytest.approx(before)
    assert machine.usd() == pytest.approx(before, rel=1e-4)  # the price of an hour has six digits


def test_only_stage_b_is_cheaper_on_spot_machines_and_some_of_it_is_done_twice():
    found = estimate(Settings(), 1000, measured(600.0))
    runner = found.stage("runner")

    assert runner.usd("SPOT") < 0.5 * runner.usd("STANDARD")
    assert runner.machine_hours("SPOT") > runner.machine_hours("STANDARD")
    assert found.stage("output").usd("SPOT") == found.stage("output").usd("STANDARD")
    assert found.usd("SPOT") == pytest.approx(sum(stage.usd("SPOT") for stage in found.stages))


def test_a_run_without_outputs_costs_no_stage_c():
    found = estimate(Settings(run_output_stage=False), 10, measured())

    assert [stage.stage for stage in found.stages] == ["builder", "runner"]


@pytest.mark.parametrize(
    ("models", "shares"),
    [
        (["SPOT"], {"STANDARD": 0.0, "SPOT": 0.5}),
        (["SPOT", "STANDARD"], prices()["assumed"]["retry_share"]),
    ],
)
def test_retries_that_were_measured_win_over_those_assumed(models, shares):
    metadata = {
        "manifest": {"num_workloads": 10},
        "machines": {"runner": [{"provisioning_model": model} for model in models]},
        "stages": {
            "runner": {
                "tasks": 10,
                "done": 9,
                "done_seconds": 90.0,
                "done_cpu_seconds": 45.0,
                "peak_memory_mib": 300.0,
                "retries": 5,
            }
        },
    }

    found = of_metadata(metadata, "run")

    assert (found.stages["runner"].seconds, found.stages["runner"].cpu_seconds) == (10.0, 5.0)
    assert estimate(Settings(), 10, found).stage("runner").retry_shares == shares


def test_a_run_of_which_no_input_ended_well_measures_nothing():
    nothing_done = {"tasks": 10, "done": 0, "wall_seconds": 1.0}

    found = of_metadata({"manifest": {"num_workloads": 10}, "stages": {"runner": nothing_done}}, "run")

    assert not found.stages


def test_tasks_that_failed_say_nothing_of_how_long_one_takes():
    done = {"status": "done", "wall_seconds": 10.0, "cpu_seconds": 9.0, "peak_memory_mib": 100.0}
    failed = {"status": "failed", "wall_seconds": 0.1, "cpu_seconds": 0.1, "peak_memory_mib": 900.0}

    found = of_summaries([("0", done), ("1", failed)], "run")

    assert found.stages["runner"].seconds == 10.0
    assert found.stages["runner"].peak_memory_mib == 100.0
    assert of_summaries([("1", failed)], "run") is None


def test_a_run_of_an_older_version_is_measured_by_all_of_its_tries():
    older = {"tasks": 9, "tries": 10, "wall_seconds": 100.0, "cpu_seconds": 50.0} | {
        "peak_memory_mib": 300.0,
        "retries": 1,
    }

    found = of_metadata({"manifest": {"num_workloads": 9}, "stages": {"runner": older}}, "run")

    assert (found.stages["runner"].seconds, found.stages["runner"].cpu_seconds) == (10.0, 5.0)


@pytest.mark.parametrize("damaged", [None, [], {}, {"status": "done", "wall_seconds": "10"}])
def test_a_damaged_summary_is_left_out_and_said(capsys, damaged):
    done = {"status": "done", "wall_seconds": 10.0, "cpu_seconds": 9.0, "peak_memory_mib": 100.0}

    found = of_summaries([("runner_0000.json", damaged), ("runner_0001.json", done)], "run")

    assert found.stages["runner"].seconds == 10.0
    assert capsys.readouterr().err == "runner_0000.json: damaged, and left out of the estimate\n"


def test_metadata_of_something_else_is_refused_in_one_line():
    with pytest.raises(UserError, match="damaged"):
        of_metadata({"stages": {"runner": {}}}, "run")


def changes(settings, workloads, times):
    return [idea.change for idea in suggestions(estimate(settings, workloads, times), times)]


def test_short_tasks_are_to_take_several_inputs():
    settings = Settings()

    [change] = changes(settings, 1000, measured(10.0))

    assert change == {"workloads_per_task": 12}
    before = estimate(settings, 1000, measured(10.0))
    assert estimate(settings.model_copy(update=change), 1000, measured(10.0)).usd("STANDARD") < before.usd(
        "STANDARD"
    )
    assert not changes(settings.model_copy(update=change), 1000, measured(10.0))


def test_tasks_of_one_thread_are_to_share_a_machine():
    [change] = changes(Settings(), 1000, measured(600.0, cpu_seconds=590.0))

    assert change == {"task_count_per_node": 2, "stage_b_cpu_milli": 1000}
    assert not changes(Settings(**change), 1000, measured(600.0, cpu_seconds=590.0))
    assert not changes(Settings(), 1000, measured(600.0, cpu_seconds=1150.0))


@pytest.mark.parametrize(
    ("peak", "asked", "expected"),
    [
        (300, 4096, [{"stage_b_memory_mib": 512}]),
        (2000, 4096, []),
        (3900, 4096, [{"stage_b_memory_mib": 5888}]),
        (400, 512, []),
        (500, 512, [{"stage_b_memory_mib": 768}]),
    ],
)
def test_memory_is_to_be_what_was_measured_and_some_to_spare(peak, asked, expected):
    times = measured(600.0, peak_memory_mib=peak)

    assert changes(Settings(stage_b_memory_mib=asked), 1000, times) == expected


def test_nothing_is_suggested_where_nothing_is_wrong():
    assert not changes(Settings(), 1000, measured(600.0))
