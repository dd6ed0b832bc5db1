"""How fast is the engine? CPU time of a trajectory against epydemix, numpy arrays over particles and monty.

Each engine is a process of its own, which waits while another one works; AVX-512 and AVX2 are two.
Before any time is printed, all must agree: the means of final size and peak within 4.5 standard errors, and
both codes of the engine in every number. The exit code is 1 where they do not.

US-MA is read from --data or EPYDEMIX_DATA_DIR. --monty FOLDER needs g++ and a checkout of
https://github.com/mrc-ide/monty. --smc adds a calibration of 1,000 particles in 10 generations.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from engines import flu, models
from engines.monty import Monty
from engines.worker import by_epydemix, dates_of
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
    spread,
    wall,
)

from modeling.workload import Workload

MOST_SIGMAS = 4.5
AVX512, AVX2 = "x86-64-v4", "x86-64-v3"
COLUMNS = {AVX512: "engine, AVX-512", AVX2: "engine, AVX2"}
EPYDEMIX, NUMPY, MONTY = "epydemix", "numpy, arrays over particles", "monty, C++"
PLACES = {"US-MA": "Massachusetts", "US-VT": "Vermont"}


@dataclass(frozen=True)
class Sizes:
    """Particles a round."""

    engine: int = 8192
    epydemix: int = 40
    epydemix_flu: int = 12
    numpy: int = 1000
    monty: int = 2000
    smc: tuple[int, int] = (1000, 10)
    weeks: int = models.WEEKS


QUICK = Sizes(engine=64, epydemix=8, epydemix_flu=4, numpy=50, monty=50, smc=(20, 2), weeks=20)


class Worker:
    """A process that simulates with one engine."""

    def __init__(self, engine: str, workloads: Path, **variables: object):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engines.worker", engine, str(workloads)],
            cwd=ROOT / "benchmarks",
            env=environment(PYTHONPATH=ROOT, **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, work: str, particles: int, seed: int, threads: int = 1) -> dict:
        asked = {"work": work, "particles": particles, "seed": seed, "threads": threads}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"the process of {self._process.args[3]} ended with {self._process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


class Case:
    """One engine at one model: its outcomes, and the time of each round."""

    def __init__(self, ask: Callable[[int], dict], particles: int):
        self._ask, self.particles = ask, particles
        self._seeds = count(1)
        self.final: list[float] = []
        self.peak: list[float] = []

    def measure(self) -> Used:
        answer = self._ask(next(self._seeds))
        self.final += answer["final"]
        self.peak += answer["peak"]
        return Used(answer["wall"] / self.particles, answer["cpu"] / self.particles)


def main() -> int:
    arguments = read_arguments(__doc__, 5, _add_options)
    sizes = QUICK if arguments.quick else Sizes()
    population = "US-VT" if arguments.quick else "US-MA"
    data = models.data_folder(arguments.data, arguments.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workloads = _workloads(folder, population, data, sizes)
        if arguments.smc:
            workloads["fit"] = _fit(folder / "fit", population, data, sizes, workloads["flu"])
        (folder / "workloads.pkl").write_bytes(pickle.dumps(workloads))
        workers = {
            EPYDEMIX: Worker("epydemix", folder / "workloads.pkl"),
            NUMPY: Worker("numpy", folder / "workloads.pkl"),
        }
        for target in _targets():
            workers[COLUMNS[target]] = Worker("engine", folder / "workloads.pkl", ENGINE_TARGET=target)
        try:
            agree = _seirh(workers, sizes, arguments, workloads, folder)
            agree &= _flu(workers, sizes, arguments)
            if agree:
                _threads(workers, sizes, arguments)
                if arguments.smc:
                    _smc(workers, sizes, arguments)
        finally:
            for worker in workers.values():
                worker.close()
    print_machine(arguments.repeats)
    return 0 if agree else 1


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="checkout of epydemix-data (default: EPYDEMIX_DATA_DIR)")
    parser.add_argument("--monty", type=Path, help="checkout of monty; compiles it with g++")
    parser.add_argument("--smc", action="store_true", help="also calibrate (minutes)")


def _targets() -> list[str]:
    """Return the CPU targets that this machine can run, the widest first."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = [target for target, flag in ((AVX512, "avx512vl"), (AVX2, "avx2")) if flag in flags]
    if AVX512 not in found:
        print("no AVX-512 here, so its column is missing")
    return found


def _workloads(folder: Path, population: str, data: Path, sizes: Sizes) -> dict:
    place = PLACES[population]
    return {
        "seirh": models.built(folder / "seirh", models.seirh(population, sizes.weeks), data, place),
        "flu": models.built(folder / "flu", flu.simulated(population), data, place),
    }


def _seirh(workers: Mapping[str, Worker], sizes: Sizes, arguments, workloads: dict, folder: Path) -> bool:
    particles = {EPYDEMIX: sizes.epydemix, NUMPY: sizes.numpy}
    cases = {name: _case(w, "seirh", particles.get(name, sizes.engine)) for name, w in workers.items()}
    if arguments.monty:
        monty = Monty(arguments.monty, workloads["seirh"], folder / "monty")
        cases[MONTY] = Case(lambda seed: monty.ask(sizes.monty, seed), sizes.monty)
    return _compared("SEIRH: CPU time of a trajectory", cases, arguments)


def _flu(workers: Mapping[str, Worker], sizes: Sizes, arguments) -> bool:
    particles = {EPYDEMIX: sizes.epydemix_flu}
    cases = {
        name: _case(worker, "flu", particles.get(name, sizes.engine))
        for name, worker in workers.items()
        if name != NUMPY
    }
    return _compared("Flu: CPU time of a trajectory", cases, arguments)


def _case(worker: Worker, work: str, particles: int, threads: int = 1) -> Case:
    return Case(lambda seed: worker.ask(work, particles, seed, threads), particles)


def _compared(title: str, cases: Mapping[str, Case], arguments) -> bool:
    """Measure, and print the table where all agree; return whether they do."""
    in_turn({name: case.measure for name, case in cases.items()}, 1)  # loads and compiles
    taken = in_turn({name: case.measure for name, case in cases.items()}, arguments.repeats)
    peers = [name for name in (EPYDEMIX, NUMPY, MONTY) if name in cases]
    problems = _disagreements(cases)
    if not problems:
        rows = [
            [
                name,
                f"{cases[name].particles:,}",
                *(_times(ratio(cpu(taken[peer]), cpu(used))) for peer in peers),
                spread([1e6 * seconds for seconds in cpu(used)], 1),
            ]
            for name, used in taken.items()
        ]
        columns = ["engine", "particles", *(f"x {peer.partition(',')[0]}" for peer in peers), "CPU µs"]
        print_table(title, columns, rows)
    print(f"{title.partition(':')[0]}: same law: {'NO, ' + '; '.join(problems) if problems else 'yes'}")
    return not problems


def _times(value: float) -> str:
    """Return a ratio in two or three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _disagreements(cases: Mapping[str, Case]) -> list[str]:
    """Return what differs: means from epydemix's, and the numbers of the engine's two columns."""
    problems = []
    for name, case in cases.items():
        for what in ("final", "peak"):
            ours, theirs = np.array(getattr(case, what)), np.array(getattr(cases[EPYDEMIX], what))
            error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
            sigmas = abs(ours.mean() - theirs.mean()) / error
            if name != EPYDEMIX and not sigmas < MOST_SIGMAS:
                problems.append(f"{what} of {name}: {ours.mean():,.1f} against {theirs.mean():,.1f}")
    columns = [cases[name] for name in COLUMNS.values() if name in cases]
    if any((each.final, each.peak) != (columns[0].final, columns[0].peak) for each in columns):
        problems.append("the numbers of AVX-512 and AVX2")
    return problems


def _threads(workers: Mapping[str, Worker], sizes: Sizes, arguments) -> None:
    """Print the wall time on one and on two threads, with the widest code."""
    name = next(each for each in COLUMNS.values() if each in workers)
    cases = {str(n): _case(workers[name], "flu", 4 * sizes.engine, n).measure for n in (1, 2)}
    in_turn(cases, 1)
    taken = in_turn(cases, arguments.repeats)
    print_table(
        "Flu on two threads: wall time",
        ["threads", "x one", "wall µs"],
        [
            [threads, f"{ratio(wall(taken['1']), wall(used)):.2f}", spread([1e6 * s for s in wall(used)], 1)]
            for threads, used in taken.items()
        ],
    )


def _fit(folder: Path, population: str, data: Path, sizes: Sizes, flu_season: Workload) -> Workload:
    """Return a calibration to the admissions of one trajectory of the model itself."""
    calendar, [path] = dates_of(flu_season), by_epydemix("flu", flu_season)(1, 1, 1)
    admissions = dict(zip(calendar.astype("datetime64[D]"), path[1].astype(int), strict=True))
    first = min(admissions)
    earlier = {first - np.timedelta64(7 * weeks, "D"): 0 for weeks in (2, 1)}  # before anybody was infected
    flu.write_admissions(folder, {population: earlier | admissions})
    return models.built(folder, flu.calibrated(population, *sizes.smc), data, PLACES[population])


def _smc(workers: Mapping[str, Worker], sizes: Sizes, arguments) -> None:
    """Print the CPU time of a calibration, against as many simulations of epydemix."""
    cases = {EPYDEMIX: _case(workers[EPYDEMIX], "fit", 2 * sizes.epydemix_flu)}
    cases |= {name: _case(workers[name], "fit", 1) for name in COLUMNS.values() if name in workers}
    taken = in_turn({name: case.measure for name, case in cases.items()}, arguments.repeats)
    rows = []
    for name, used in taken.items():
        simulations = cases[name].final
        if name != EPYDEMIX:
            theirs = [each * number for each, number in zip(cpu(taken[EPYDEMIX]), simulations, strict=True)]
            rows.append(
                [name, f"{simulations[-1]:,.0f}", f"{ratio(theirs, cpu(used)):,.0f}", spread(cpu(used))]
            )
    print_table(
        "ABC-SMC of flu, against as many simulations of epydemix: CPU time",
        ["engine", "simulations", "x epydemix", "CPU seconds"],
        rows,
    )


if __name__ == "__main__":
    sys.exit(main())
