"""What the soak (benchmarks/soak.py) counts as lost, doubled or undisturbed."""

import sys
from collections import Counter

import pytest

from tests.experiments import REPOSITORY


@pytest.fixture
def soaking(monkeypatch):
    """The parts of the soak. Last on the path, for its localcloud.py is not the package of that name."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(REPOSITORY / "benchmarks")])
    import soaking.disturbances
    import soaking.outcome

    return soaking


def outcome_of(soaking, **changes):
    """Return the files and exit codes of a correct run of two tasks: one was killed, one ran twice."""
    tasks = [f"{name}_{i:04d}" for i in range(2) for name in ("runner-artifacts/result", "summaries/runner")]
    files = {f"{task}.{'pkl' if 'result' in task else 'json'}": "a" for task in tasks}
    found = {
        "files": files | {"builder-artifacts/inputs.sha256": "a"},
        "outputs": [{"table.csv.gz": "a"}],
        "executions": Counter(succeeded=1),
        "endings": Counter({0: 2, 137: 1}),
        "output_endings": Counter({0: 1, 50001: 1}),
        "duplicates": Counter({0: 1}),
    }
    return soaking.outcome.Outcome(**found | changes)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda files: files.pop("runner-artifacts/result_0001.pkl"), "2 results, none lost, none extra"),
        (
            lambda files: files.update({"runner-artifacts/result_0001.pkl": "b"}),
            "results equal, byte by byte",
        ),
        (lambda files: files.update({"builder-artifacts/inputs.sha256": "b"}), "inputs equal, byte by byte"),
        (lambda files: files.pop("summaries/runner_0001.json"), "one summary a task"),
        (lambda files: files.update({"execution.json": "a"}), "no claim left"),
        (lambda files: files.update({"runner-artifacts.tmp": "a"}), "nothing else in the bucket"),
    ],
)
def test_a_soak_tells_what_is_lost_changed_or_left(spoil, what, soaking):
    peer, soak = outcome_of(soaking), outcome_of(soaking)
    assert not any(soaking.outcome.check(peer, soak, 2).values())

    spoil(soak.files)

    assert soaking.outcome.check(peer, soak, 2)[what]


TABLE, OTHER_TABLE = {"table.csv.gz": "a"}, {"table.csv.gz": "b"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"outputs": []}, "outputs written once"),
        ({"outputs": [TABLE, TABLE]}, "outputs written once"),
        ({"output_endings": Counter({50001: 1})}, "outputs written once"),
        ({"outputs": [TABLE, OTHER_TABLE]}, "outputs equal, byte by byte"),
        ({"unstruck": ["storage: 503"]}, "every certain fault occurred"),
        ({"endings": Counter({0: 2})}, "tasks killed and lost as ordered"),
        ({"ordered": Counter({50002: 1})}, "tasks killed and lost as ordered"),
        ({"duplicates": Counter()}, "tasks run a second time"),
        ({"duplicates_wanted": 2}, "tasks run a second time"),
    ],
)
def test_a_soak_tells_what_was_doubled_and_that_nothing_went_wrong(changes, what, soaking):
    checks = soaking.outcome.check(outcome_of(soaking), outcome_of(soaking, **changes), 2)

    assert checks[what]


def test_a_soak_allows_the_outputs_of_a_process_that_gave_up_behind_them(soaking):
    twice = outcome_of(soaking, outputs=[TABLE, TABLE], output_endings=Counter({0: 1, 75: 1}))

    assert not any(soaking.outcome.check(outcome_of(soaking), twice, 2).values())


def test_a_soak_knows_which_faults_must_strike(soaking):
    orders = soaking.disturbances

    def told(hits, tasks: int) -> list[str]:
        """Return what is missed where each rule, as the emulator tells it, has so many hits."""
        blank = {"times": None, "action": "", "status": None, "probability": 1.0}
        rules = [blank | rule for rule in orders.of_requests("soak", seed=1)]
        return orders.unstruck([rule | {"hits": hits(rule)} for rule in rules], tasks)

    certain = [rule for rule in orders.of_requests("soak", seed=1) if "times" in rule]
    by_chance = ["Batch: no random fault", "Workflows: no random fault", "storage: no random fault"]

    assert not told(lambda rule: rule["times"] or 1, 1_000)
    assert len(told(lambda rule: 0, 1)) == len(certain) + 3
    assert told(lambda rule: rule["times"] or 0, 1) == by_chance
    assert "Batch: 503, 1 of 2" in told(lambda rule: 1, 1)[0]
    # a renamed path strikes none of a thousand tasks; of twelve that may be chance
    no_cut = lambda rule: 0 if rule["action"] == "reset" else rule["times"] or 1  # noqa: E731
    assert told(no_cut, 1_000)[0].startswith("storage: cut, 0 of 1")
    assert not told(no_cut, 12)


def test_a_soak_kills_and_loses_tasks_for_certain(soaking):
    rules = soaking.disturbances.of_tasks(range(1_000), 0, seed=1)

    ends = soaking.disturbances.certain_ends(rules)

    assert ends[137] > 0
    assert all(ends[code] > 0 for code in (*soaking.disturbances.LOST_MACHINES, 75))
