"""`invoke cost --lane gpu`: the prices of a run by hand, with the settings' GPU, size and idle time."""

import re

import pytest

from ops.cloud.prices import prices
from ops.environment import read_settings
from ops.gpu import cost, rates
from tests.experiments import REPOSITORY, sampled
from tests.in_process import called
from tests.operators import Operator

L4_HOUR = 3600 * (0.0001867 + 4 * 0.000018 + 16 * 0.000002)


def shown(**settings: str) -> tuple[dict[str, list[str]], str]:
    """Return the columns of each case by its title, and all that is printed."""
    ended = called(lambda: cost.show_cost(read_settings(settings)))
    assert ended.exit_code == 0, ended.output
    rows = (re.split(r" {2,}", line.strip()) for line in ended.lines)
    return {first: rest for first, *rest in rows if rest}, ended.output


def test_the_prices_of_a_run_are_those_of_seconds_of_an_instance_and_its_idle_time():
    rows, output = shown()

    assert rows["one instance, 45 s"] == ["1", "45 s", "0.19", "0.27"]
    assert rows["one instance, 135 s"] == ["1", "135 s", "0.21", "0.30"]
    assert rows["three shards"][-1] == "0.83"
    assert rows["ten shards"][-1] == "2.70"
    assert rows["the first on nvidia-rtx-pro-6000"][-1] == "0.84"
    assert rows["preprocess, postprocess, workflow"] == ["< 0.01", "< 0.01"]
    assert f"${L4_HOUR:.2f} an hour" in output
    assert "$1.05 an hour" in output


def test_the_page_has_the_prices_that_the_task_prints():
    rows, _ = shown()
    page = (REPOSITORY / "docs" / "gpu.md").read_text("utf-8")
    table = page.partition("| a run, on an L4")[2].partition("\n\n")[0].splitlines()[2:]

    told = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]

    printed = [rows[name] for name in ("one instance, 45 s", "one instance, 135 s", "three shards")]
    printed.append(rows["the first on nvidia-rtx-pro-6000"])
    assert [usd for _, _, usd in told] == [" / ".join(row[-2:]) for row in printed]
    assert [seconds.removesuffix(" each") for _, seconds, _ in told] == [row[1] for row in printed]


def test_the_date_of_the_prices_their_region_and_what_is_left_out_are_printed():
    _, output = shown(REGION="europe-west4")

    assert f"of {rates.rate_table()['as_of']} for us-central1; europe-west4 may have others" in output
    left_out = output.partition("left out")[2]
    for name in prices()["cloud_run"]["not_counted"]:
        assert name in left_out
    assert "taxes, discounts and free amounts" in left_out
    assert "NAT" not in left_out  # the services need none


@pytest.mark.parametrize(
    ("settings", "usd"),
    [
        ({"GPU_CPU": "8", "GPU_MEMORY": "32Gi"}, 945 * (0.0001867 + 8 * 0.000018 + 32 * 0.000002)),
        ({"GPU_ZONAL_REDUNDANCY": "true"}, 945 * (0.0002909 + 4 * 0.000018 + 16 * 0.000002)),
        (
            {"GPU_TYPE": "nvidia-rtx-pro-6000", "GPU_CPU": "20", "GPU_MEMORY": "80Gi"},
            945 * (0.00036522 + 20 * 0.000018 + 80 * 0.000002),
        ),
        # without a GPU only the seconds of requests count
        ({"GPU_TYPE": "none", "GPU_CPU": "8", "GPU_MEMORY": "32Gi"}, 45 * (8 * 0.000024 + 32 * 0.0000025)),
    ],
)
def test_the_settings_decide_the_price(settings, usd):
    rows, _ = shown(**settings)

    assert rows["one instance, 45 s"][-1] == f"{usd:.2f}"


def test_instances_that_are_kept_are_priced_by_the_month():
    _, output = shown(MIN_INSTANCES="2", ACCEPT_IDLE_COST="true")

    assert (
        f"2 instances (MIN_INSTANCES) without any run: $2.09 an hour, ${2 * L4_HOUR * 730:,.0f} a month"
        in output
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lane", "tpu"], "--lane tpu: use batch or gpu"),
        (["--lane", "gpu", "--exp-id", "demo"], "--exp-id: for --lane batch; leave it out"),
        (
            ["--lane", "gpu", "--count", "2", "--task-seconds", "9"],
            "--count and --task-seconds: for --lane batch; leave it out",
        ),
        ([], "--exp-id is needed: the experiment's folder below experiments/"),
    ],
)
def test_options_that_the_lane_does_not_have_are_refused_in_one_line(tmp_path, options, said):
    ended = Operator(tmp_path, sampled()).invoke("cost", *options)

    assert ended.exit_code == 2
    assert len(ended.lines) == 1
    assert ended.last_line.startswith(f"error: {said}")


def test_the_estimate_needs_no_project_and_no_network(tmp_path):
    ended = Operator(tmp_path, sampled()).invoke("cost", "--lane", "gpu")

    assert ended.exit_code == 0, ended.output
    assert "a run of the GPU lane on nvidia-l4, 4 CPUs, 16GiB: an estimate, in US dollars" in ended.output
