"""Many tasks with random faults through the emulated cloud: is each output right, none lost, none doubled?

The pipeline's own workflow starts the real stage scripts, one process a task, while machines are taken away,
tasks are killed or run twice, and storage, Batch and Workflows refuse, answer slowly or lose their answers.
A run that a kill has ended is gone on with, as an operator would. The peer is the same run without faults and
with fifty inputs a task: what it left is what the other must have left. Ends with exit code 1 where anything
differs.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from experiments import simulation, write_repository
from measuring import SEED, print_machine, print_table
from soaking.disturbances import KILLED, LOST_MACHINES, PASSING_FAULT
from soaking.outcome import Outcome, check
from soaking.run import SoakRun

TASKS, QUICK_TASKS = 1_000, 12
RUN_IDS = "20260131-120000-00000001", "20260131-120000-00000002"


def main() -> int:
    arguments = _read_arguments()
    tasks, seed = arguments.tasks, arguments.seed
    again = f"python benchmarks/soak.py --tasks {tasks} --seed {seed}"
    print(f"the same faults again: {again}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        # a trajectory of two weeks a task: what is asked here is which of them are there, not how fast
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
    parser.add_argument("--tasks", type=_at_least_one, help=f"of stage B; {TASKS:,} without it")
    parser.add_argument("--seed", type=int, default=SEED, help="of the faults, to meet the same again")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TASKS} tasks: shows that it runs")
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
        row("  passing fault", ended(PASSING_FAULT)),
        row("  killed for good", ended(KILLED)),
        row("beside them, the same task again", lambda outcome: outcome.ghosts.total()),
        row("attempts after a first, all stages", lambda outcome: outcome.retries),
        row("requests struck", lambda outcome: outcome.struck.total()),
        *(row(f"  {kind}", lambda outcome, kind=kind: outcome.struck[kind]) for kind in sorted(soak.struck)),
        ["CPU seconds", f"{peer.cpu_seconds:,.0f}", f"{soak.cpu_seconds:,.0f}"],
        ["wall seconds", f"{peer.seconds:,.0f}", f"{soak.seconds:,.0f}"],
    ]


if __name__ == "__main__":
    sys.exit(main())
