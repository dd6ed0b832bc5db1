"""Parallel steps of the emulated Cloud Workflows: shared variables, concurrency, errors and slots."""

import threading
import time

from tests.localcloud.workflow_runs import error_of, result_of


def test_a_branch_changes_shared_variables_and_has_its_own():
    assert result_of(
        """
main:
  steps:
  - init: {assign: [{read: {n: 1}}, {shared: 1}]}
  - p:
      parallel:
        shared: [shared]
        for:
          value: v
          in: [1, 2, 3]
          steps:
          - change: {assign: [{own: "${read.n + v}"}, {own: "${own}"}, {shared: "${shared * own}"}]}
  - r: {return: ["${read.n}", "${shared}"]}
"""
    ) == [1, 24]


def test_a_shared_variable_must_exist_before_the_parallel_step():
    source = """
main:
  steps:
  - p:
      parallel:
        shared: [nosuch]
        for: {value: v, in: [1], steps: [{a: {assign: [{nosuch: 1}]}}]}
"""
    assert "nosuch" in error_of(source).value["message"]


def test_branches_run_at_the_same_time_but_no_more_than_the_limit():
    source = """
main:
  steps:
  - p:
      parallel:
        %s
        for:
          value: v
          range: [1, 40]
          steps: [{wait: {call: sys.sleep, args: {seconds: 50}}}]
"""

    def seconds(line):
        begun = time.monotonic()
        result_of(source % line, clock_speed=1000)
        return time.monotonic() - begun

    assert 0.1 <= seconds("exception_policy: continueAll") < 0.5  # 2 rounds of 20
    assert 0.5 <= seconds("concurrency_limit: 4") < 1.5  # 10 rounds


def test_nested_parallel_steps_do_not_wait_for_each_other_and_are_at_most_two_deep():
    turn = "{value: %s, range: [1, 25], steps: [%s]}"
    inner = "{q: {parallel: {for: %s}}}" % (turn % ("w", "{s: {call: sys.sleep, args: {seconds: 1}}}"))
    source = "main: {steps: [{p: {parallel: {for: %s}}}, {r: {return: done}}]}" % (turn % ("v", inner))
    assert result_of(source, clock_speed=100_000) == "done"

    third = "{t: {parallel: {for: {value: w, in: [1], steps: [{n: {assign: [{x: 1}]}}]}}}}"
    calling = turn % ("v", "{q: {parallel: {for: {value: w, in: [1], steps: [{c: {call: sub}}]}}}}")
    failed = error_of(
        f"main: {{steps: [{{p: {{parallel: {{for: {calling}}}}}}}]}}\nsub: {{steps: [{third}]}}"
    )
    assert "ParallelNestingError" in str(failed.value["branches"])


def test_other_branches_continue_after_one_has_failed():
    source = """
main:
  steps:
  - init: {assign: [{done: 0}]}
  - p:
      try:
        parallel:
          shared: [done]
          for:
            value: v
            in: [1, 2, 3]
            steps:
            - fail: {switch: [{condition: "${v == 1}", raise: "no ${v}"}]}
            - wait: {call: sys.sleep, args: {seconds: 200}}
            - count: {assign: [{done: "${done + 1}"}]}
      except:
        as: e
        steps:
        - r: {return: ["${done}", "${len(e.branches)}", "${e.branches[0].error.payload}"]}
"""
    assert result_of(source) == [2, 1, "no 1"]


def test_branches_that_wait_for_a_shared_variable_free_their_slots():
    source = """
main:
  steps:
  - init: {assign: [{total: 0}]}
  - both:
      parallel:
        shared: [total]
        branches:
        - slow: {steps: [{s: {assign: [{total: "${total + inner()}"}]}}]}
        - many:
            steps:
            - later: {call: sys.sleep, args: {seconds: 50}}
            - each:
                parallel:
                  shared: [total]
                  for: {value: v, range: [1, 30], steps: [{a: {assign: [{total: "${total + 1}"}]}}]}
  - done: {return: "${total}"}
inner:
  steps:
  - nap: {call: sys.sleep, args: {seconds: 200}}
  - inner: {parallel: {for: {value: v, range: [1, 3], steps: [{a: {assign: [{x: 1}]}}]}}}
  - done: {return: 100}
"""
    ended = []
    threading.Thread(target=lambda: ended.append(result_of(source)), daemon=True).start()
    deadline = time.monotonic() + 5

    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)

    assert ended == [130]
