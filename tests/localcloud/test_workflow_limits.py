"""Limits of the emulated Cloud Workflows: memory, steps, calls, and runs that are cancelled."""

import socket
import threading
import time

import pytest

from localcloud.workflows.errors import LimitExceeded, Stopped
from localcloud.workflows.scopes import Memory
from localcloud.workflows.strand import run_main
from localcloud.workflows.values import size_of
from tests.localcloud.workflow_runs import error_of, result_of, run_of

GROWING = """
main:
  params: [kib]
  steps:
  - init: {assign: [{s: "${kib}"}, {l: []}, {m: {}}]}
  - grow:
      try:
        for:
          value: v
          range: [1, 1000]
          steps: [{a: {assign: [%s]}}]
      except: {as: e, steps: [{r: {return: "caught"}}]}
"""


@pytest.mark.parametrize(
    "assignment", ['{s: "${s + s}"}', '{l: "${list.concat(l, s)}"}', '{"m[string(v)]": "${s}"}']
)
def test_exceeding_the_memory_ends_an_execution_and_cannot_be_caught(assignment):
    failed = error_of(GROWING % assignment, "x" * 1024)

    assert isinstance(failed, LimitExceeded)
    assert failed.value["tags"] == ["ResourceLimitError"]


def test_a_list_that_grows_counts_as_much_as_one_assigned_at_once():
    memory, grown = Memory(), []

    for number in range(100):
        longer = [*grown, {"n": number, "name": "é" * number}]
        assert memory.size_of(longer, before=grown) == size_of(longer)
        grown = longer


def test_memory_is_freed_when_a_variable_shrinks_or_a_routine_ends():
    run = run_of(
        """
main:
  steps:
  - a:
      for:
        value: v
        range: [1, 50]
        steps:
        - b: {call: big, result: s}
        - c: {assign: [{s: ""}]}
  - r: {return: ok}
big:
  steps:
  - s: {assign: [{s: "%s"}]}
  - r: {return: "${s + s}"}
"""
        % ("x" * 60_000)
    )

    assert run_main(run, None) == "ok"
    assert run.memory.used_bytes == 0


def test_an_execution_ends_at_its_100_000th_step():
    begun = time.monotonic()

    failed = error_of("main: {steps: [{a: {assign: [{x: 1}]}}, {b: {next: a}}]}")

    assert failed.value["tags"] == ["ResourceLimitError"]
    assert "100000" in failed.value["message"]
    assert failed.trace[0].routine == "main"
    assert time.monotonic() - begun < 30


def test_calls_may_be_20_deep():
    source = """
main: {params: [n], steps: [{c: {call: down, args: {n: "${n}"}, result: r}}, {r: {return: "${r}"}}]}
down:
  params: [n]
  steps:
  - s: {switch: [{condition: "${n == 1}", return: bottom}]}
  - c: {call: down, args: {n: "${n - 1}"}, result: r}
  - r: {return: "${r}"}
"""
    assert result_of(source, 20) == "bottom"
    assert "RecursionError" in error_of(source, 21).value["tags"]


def test_a_cancelled_run_ends_in_the_middle_of_a_sleep():
    run = run_of("main: {steps: [{s: {call: sys.sleep, args: {seconds: 3600}}}]}", clock_speed=1)
    threading.Timer(0.1, run.cancel).start()
    begun = time.monotonic()

    with pytest.raises(Stopped):
        run_main(run, None)

    assert time.monotonic() - begun < 1


def test_a_cancelled_run_ends_in_the_middle_of_a_call():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        run = run_of(
            f"main: {{steps: [{{s: {{call: http.get, args: {{url: '{url}'}}}}}}, {{t: {{return: 1}}}}]}}"
        )
        threading.Timer(0.1, run.cancel).start()
        begun = time.monotonic()

        with pytest.raises(Stopped):
            run_main(run, None)

    assert time.monotonic() - begun < 1


def test_a_result_must_fit_in_the_memory():
    many = ", ".join(['"${s}"'] * 20)
    source = f"main: {{params: [s], steps: [{{r: {{return: [{many}]}}}}]}}"

    assert len(result_of(source, "x" * 20_000)) == 20
    assert isinstance(error_of(source, "x" * 30_000), LimitExceeded)
