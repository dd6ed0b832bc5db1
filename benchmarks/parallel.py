"""Does `invoke stage runner` keep every core busy? Efficiency = time on one / (cores x time on all).

Peer: the same processes from `xargs -P`, which only starts them. Time that xargs loses, too, is lost by the
machine: cores share caches and memory, or carry other load. The fastest rounds had the least of that.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from experiments import EXP_ID, RUN_ID, simulation, write_repository
from measuring import (
    Used,
    cpu,
    environment,
    in_turn,
    print_machine,
    print_table,
    ratio,
    read_arguments,
    run_process,
    spread,
    wall,
)

from modeling.threads import usable_cores

RUN = RUN_ID.format(0)


class Run:
    """A built run with equal inputs, and two ways to run its stage B again."""

    def __init__(self, folder: Path, inputs: int, trajectories: int):
        self.inputs = inputs
        write_repository(folder / "forecast", simulation(inputs * trajectories, last_day="2026-03-21"))
        (folder / "empty.env").touch()
        self.variables = environment(
            LOCAL_DATA_PATH=folder,
            FORECAST_REPO_DIR=folder / "forecast",
            ENV_FILE=folder / "empty.env",  # not the operator's own settings
            PYTHON=sys.executable,
        )
        self._invoke("builder", self.variables, "--count", str(inputs))

    def by_invoke(self, jobs: int) -> Used:
        return self._invoke("runner", self.variables | {"LOCAL_JOBS": str(jobs)}, "--force")

    def by_xargs(self, jobs: int) -> Used:
        variables = self.variables | {"EXP_ID": EXP_ID, "RUN_ID": RUN, "FORCE": "1"}
        one = "env TASK_INDEX={} bash scripts/run_runner.sh"
        line = f"seq 0 {self.inputs - 1} | xargs -P {jobs} -I{{}} {one}"
        return run_process(["bash", "-c", line], variables)

    @staticmethod
    def _invoke(stage: str, variables: dict[str, str], *options: str) -> Used:
        argv = [sys.executable, "-m", "invoke", "stage", stage, "--exp-id", EXP_ID, "--run-id", RUN]
        return run_process([*argv, *options], variables)


def main() -> None:
    arguments = read_arguments(__doc__, repeats=3)
    cores = usable_cores()
    inputs, trajectories = (1, 1) if arguments.quick else (4 * cores, 200)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), inputs, trajectories)
        cases = {
            ("invoke", 1): lambda: run.by_invoke(1),
            ("xargs", 1): lambda: run.by_xargs(1),
            ("invoke", cores): lambda: run.by_invoke(cores),
            ("xargs", cores): lambda: run.by_xargs(cores),
        }
        taken = in_turn(cases, arguments.repeats)
    efficiency = {starter: _efficiency(taken, starter, cores) for starter in ("invoke", "xargs")}
    rows = [
        [
            f"{starter}, {jobs} at once",
            "" if jobs == 1 else spread(efficiency[starter]),
            ""
            if jobs == 1
            else f"{_fastest(taken, starter, 1) / (cores * _fastest(taken, starter, cores)):.2f}",
            f"{ratio(wall(used), wall(taken['xargs', jobs])):.2f}",
            spread(wall(used)),
            spread(cpu(used)),
        ]
        for (starter, jobs), used in taken.items()
    ]
    print_table(
        f"Stage B on {cores} cores: {inputs} equal inputs of {trajectories} trajectories",
        ["started by", "efficiency", "fastest rounds", "wall / xargs", "wall seconds", "CPU seconds"],
        rows,
    )
    theirs = statistics.median(efficiency["xargs"])
    print(f"invoke's efficiency / that of xargs: {statistics.median(efficiency['invoke']) / theirs:.2f}")
    print_machine(arguments.repeats)


def _efficiency(taken: dict, starter: str, cores: int) -> list[float]:
    """Return t1 / (cores x tn), round by round."""
    pairs = zip(taken[starter, 1], taken[starter, cores], strict=True)
    return [one.wall_seconds / (cores * many.wall_seconds) for one, many in pairs]


def _fastest(taken: dict, starter: str, jobs: int) -> float:
    return min(wall(taken[starter, jobs]))


if __name__ == "__main__":
    main()
