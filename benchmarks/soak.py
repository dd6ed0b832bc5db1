"""Many tasks with random faults on the emulated cloud: is each output right, and none lost or duplicated?

The pipeline's own workflow starts the real stage scripts, one process a task, while machines are taken away,
tasks are killed or run twice, and storage, Batch and Workflows refuse, answer slowly or lose their answers.
A run that failed because a task was killed is resumed, as an operator would do. The peer is the same run
without faults and with fifty inputs a task; both must leave the same files. The exit code is 1 where anything
differs.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from experiments import simulation, write_repository
from measuring import SEED, print_machine, print_table
from soaking.disturbances import KILLED, LOST_MACHINES, TEMPORARY_FAULT
from soaking.outcome import Outcome, check
from soaking.run import SoakRun

TASKS, QUICK_TASKS = 1_000, 12
RUN_IDS = "20260131-120000-00000001", "20260131-120000-00000002"


def main() -> int:
    arguments = _read_arguments()
    tasks, seed = arguments.tasks, arguments.seed
    again = f"python benchmarks/soak.py --tasks {tasks} --seed {seed}"
    print(f"to repeat these faults: {again}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        # one trajectory of two weeks a task: this checks which results exist, not how fast they come
        repository = Path(folder) / "forecast"
        write_repository(repository, simulation(tasks, "2025-11-30", "2025-12-13"))
        peer, soak = (
            SoakRun(name, run_id, tasks, seed, with_faults).run(Path(folder) / name, repository)
            for name, run_id, with_faults in zip(("peer", "soak"), RUN_IDS, (False, True), strict=True)
        )
    checks = check(peer, soak, tasks)
    print_table(f"A run of {tasks:,} tasks", ["", "no faults", "random faults"], _rows(peer, soak))
    print_table("Is it right?", ["", ""], [[what, wrong or "yes"] for what, wrong in checks.items()])
    print_machine(1)
    return 1 if any(checks.values()) else 0


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tasks", type=_at_least_one, help=f"number of tasks of stage B (default: {TASKS:,})"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the faults, to repeat them")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TASKS} tasks, to see that it runs")
    arguments = parser.parse_args()
    arguments.tasks = arguments.tasks or (QUICK_TASKS if arguments.quick else TASKS)
    return arguments


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return int(text)


def _rows(peer: Outcome, soak: Outcome) -> list[list[str]]:
    def row(what: str, number: Callable[[Outcome], int]) -> list[str]:
        return [what, f"{number(peer):,}", f"{number(soak):,}"]

    def ended(*codes: int) -> Callable[[Outcome], int]:
        return lambda outcome: sum(outcome.endings[code] for code in codes)

    return [
        row("executions", lambda outcome: outcome.executions.total()),
        *(
            row(f"  {how}", lambda outcome, how=how: outcome.executions[how])
            for how in sorted(soak.executions)
        ),
        row("processes of stage B", lambda outcome: outcome.endings.total()),
        row("  machine lost", ended(*LOST_MACHINES)),
        row("  temporary fault", ended(TEMPORARY_FAULT)),
        row("  killed for good", ended(KILLED)),
        row("duplicate tasks beside them", lambda outcome: outcome.duplicates.total()),
        row("attempts after the first, all stages", lambda outcome: outcome.retries),
        row("requests with a fault", lambda outcome: outcome.struck.total()),
        *(row(f"  {kind}", lambda outcome, kind=kind: outcome.struck[kind]) for kind in sorted(soak.struck)),
        ["CPU seconds", f"{peer.cpu_seconds:,.0f}", f"{soak.cpu_seconds:,.0f}"],
        ["wall seconds", f"{peer.seconds:,.0f}", f"{soak.seconds:,.0f}"],
    ]


if __name__ == "__main__":
    sys.exit(main())
