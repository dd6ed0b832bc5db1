"""How long does a stage take to start? Whole processes with almost nothing to do.

Peers: Python alone, and `import epydemix`, which every pipeline on epydemix needs.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments import EXP_ID, RUN_ID, calibration, one_day, write_repository
from measuring import (
    ROOT,
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

from localcloud.process import running

BARE = "python -c pass"
FLOOR = 'python -c "import epydemix"'
WITHOUT_NUMBA = [sys.executable, "-c", "import sys; sys.modules['numba'] = None; import epydemix"]
BUCKET = "benchmark"
CHARTS_AND_REPORT = ("matplotlib", "jinja2")


class Trial:
    """The stages of one tiny experiment, as processes."""

    def __init__(self, folder: Path, experiment: dict, **variables: str):
        write_repository(folder / "forecast", experiment)
        self.variables = (
            environment(
                EXECUTION_MODE="local",
                LOCAL_DATA_PATH=folder,
                FORECAST_REPO_DIR=folder / "forecast",
                EXP_ID=EXP_ID,
                TASK_INDEX=0,
            )
            | variables
        )
        self.builds = 0

    def run(self, stage: str, **variables: str) -> Used:
        return run_process(self.command(stage), self.environment(**variables))

    def build(self) -> Used:
        """Build a new run each time, so that it is not resumed."""
        self.builds += 1
        return self.run("builder")

    def environment(self, **variables: str) -> dict[str, str]:
        return {**self.variables, "RUN_ID": RUN_ID.format(self.builds), **variables}

    @staticmethod
    def command(stage: str, *python_options: str) -> list[str]:
        return [sys.executable, *python_options, str(ROOT / "scripts" / f"main_{stage}.py")]


def main() -> None:
    arguments = read_arguments(__doc__, repeats=9)
    with tempfile.TemporaryDirectory() as folder, _emulated_bucket(Path(folder)) as cloud:
        small = Trial(Path(folder) / "small", one_day())
        slow = Trial(Path(folder) / "slow", one_day(), ENGINE="epydemix")
        fitted = Trial(Path(folder) / "fitted", calibration(10, 2))
        remote = Trial(Path(folder) / "remote", one_day(), **cloud)
        for trial in (small,) if arguments.quick else (small, slow, remote):
            trial.build()
            trial.run("runner")
        remote_run, small_run = RUN_ID.format(remote.builds), RUN_ID.format(small.builds)
        cases = {
            BARE: lambda: run_process([sys.executable, "-c", "pass"], environment()),
            FLOOR: lambda: run_process([sys.executable, "-c", "import epydemix"], environment()),
            "builder, a model alone": small.build,
            "runner, result exists": lambda: small.run("runner", RUN_ID=small_run),
            "runner, to the first day": lambda: small.run("runner", RUN_ID=small_run, FORCE="1"),
            "output, one tiny result": lambda: small.run("output", RUN_ID=small_run),
        }
        if not arguments.quick:
            cases |= {
                "import epydemix, without numba": lambda: run_process(WITHOUT_NUMBA, environment()),
                "runner, first day, ENGINE=epydemix": lambda: slow.run("runner", FORCE="1"),
                "builder, a calibration": fitted.build,
                "runner, bucket, result exists": lambda: remote.run("runner", RUN_ID=remote_run),
                "runner, bucket, to the first day": lambda: remote.run(
                    "runner", RUN_ID=remote_run, FORCE="1"
                ),
            }
            in_turn(cases, 1)  # compiles the sources and warms the file cache
        taken = in_turn(cases, arguments.repeats)
        imports = _imports(small, "runner", RUN_ID=small_run, FORCE="1")
        imports_of_output = _imports(small, "output", RUN_ID=small_run)
    rows = [
        [
            name,
            f"{ratio(cpu(used), cpu(taken[FLOOR])):.2f}",
            f"{ratio(wall(used), wall(taken[FLOOR])):.2f}",
            spread(wall(used)),
            spread(cpu(used)),
        ]
        for name, used in taken.items()
    ]
    print_table(
        "Cold start",
        ["process", "CPU / epydemix", "wall / epydemix", "wall seconds", "CPU seconds"],
        rows,
    )
    _print_imports(imports, imports_of_output)
    print_machine(arguments.repeats)


@contextmanager
def _emulated_bucket(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the variables with which the stages use a bucket on 127.0.0.1."""
    import requests

    with running(folder / "cloud") as cloud:
        buckets = f"{cloud.storage}/storage/v1/b?project=p"
        requests.post(buckets, json={"name": BUCKET}, timeout=10).raise_for_status()
        yield {"EXECUTION_MODE": "cloud", "GCS_BUCKET": BUCKET, "STORAGE_EMULATOR_HOST": cloud.storage}


def _imports(trial: Trial, stage: str, **variables: str) -> Counter:
    """Return milliseconds of import by package, from -X importtime."""
    done = subprocess.run(
        trial.command(stage, "-X", "importtime"),
        env=trial.environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )
    spent: Counter = Counter()
    for own, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \| +(\S+)$", done.stderr, re.MULTILINE):
        spent[name.partition(".")[0]] += int(own) / 1000
    return spent


def _print_imports(runner: Counter, output: Counter) -> None:
    rows = [
        [f"{stage} imports {name}", "yes" if name in spent else "no"]
        for stage, spent in (("runner", runner), ("output", output))
        for name in CHARTS_AND_REPORT
    ]
    print_table("What is imported", ["", ""], rows)
    largest = [
        [stage, f"{sum(spent.values()):.0f}", ", ".join(f"{n} {ms:.0f}" for n, ms in spent.most_common(7))]
        for stage, spent in (("runner, to the first day", runner), ("output", output))
    ]
    print_table("Time of imports in ms (once, with -X importtime)", ["", "all", "largest"], largest)


if __name__ == "__main__":
    main()
