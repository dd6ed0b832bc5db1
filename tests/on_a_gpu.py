"""Does an NVIDIA GPU give the engine's bytes, and how fast is it?

All batches of tests/gpu_cases.py are simulated on the GPU and on this machine's processor, and compared byte
by byte. Then SEIRH and flu are timed at several batch sizes, and the places of a weekly run are calibrated.
The exit code is 1 where a byte differs.

Populations are read from --data or EPYDEMIX_DATA_DIR, --admissions names the target file of the FluSight hub.
--save FILE only writes what is simulated; --cases FILE reads it, on a machine with numpy, scipy, numba and
cuda-bindings alone. --quick takes US-VT.
"""

import argparse
import hashlib
import pickle
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from modeling.engine.cuda.device import gpu_for, use_device  # noqa: E402
from modeling.engine.plan import CompiledPlan, Keys, Observables, Simulated, compile_plan  # noqa: E402
from modeling.engine.target import TARGET  # noqa: E402
from modeling.failures import UserError  # noqa: E402
from modeling.simulate.run import run_workload  # noqa: E402
from modeling.threads import usable_threads  # noqa: E402
from modeling.workload import Workload  # noqa: E402

ROWS = {
    "SEIRH": [["S_to_E_total"], ["I_to_H_total"]],
    "flu": [["S_to_L_total", "Sv_to_Lv_total"], ["B_to_H_total", "Bv_to_Hv_total"]],
}
PLACES = {"US-MA": "Massachusetts", "US-VT": "Vermont"}
BATCHES = [1_000, 4_000, 16_000, 64_000, 256_000]
MOST_ON_CPU = 64_000  # particles
ROUNDS = 3


@dataclass(frozen=True)
class Cases:
    """What is simulated.

    Attributes
    ----------
    batches : list of (name, arguments of compile_plan, arguments of simulate, digest)
    speed : dict of str to Workload
    units : list of Workload
    """

    batches: list[tuple[str, tuple, dict[str, Any], str]]
    speed: dict[str, Workload]
    units: list[Workload]


def main() -> int:
    arguments = _arguments()
    if arguments.cases:
        cases = Cases(**pickle.loads(arguments.cases.read_bytes()))
    else:
        cases = _built(arguments)
    if arguments.save:
        arguments.save.write_bytes(pickle.dumps(vars(cases)))
        print(f"{arguments.save}: {arguments.save.stat().st_size / 1e6:.1f} MB")
        return 0
    started = time.perf_counter()
    try:
        gpu = gpu_for("cuda").gpu
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    ready = time.perf_counter() - started
    print(f"{gpu.name}, {gpu.most_lanes:,} threads at once, ready in {ready:.2f} s", flush=True)
    print(f"{_processor()}, code for {TARGET.name}, {usable_threads()} threads", flush=True)
    differ = _compare(cases)
    if not differ:
        for name, workload in cases.speed.items():
            _time(name, workload, [1_000, 2_000] if arguments.quick else BATCHES)
        differ = _calibrate(cases.units[: arguments.locations], arguments.compared, arguments.at_once)
    return 1 if differ else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="checkout of epydemix-data (default: EPYDEMIX_DATA_DIR)")
    parser.add_argument("--admissions", type=Path, help="target-hospital-admissions.csv of the hub")
    parser.add_argument("--locations", type=int, default=52, help="number of locations (default: 52)")
    parser.add_argument("--compared", type=int, default=52, help="number of them on the processor, too")
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 4], help="calibrations side by side")
    parser.add_argument("--save", type=Path, help="write what is simulated to a file, and end")
    parser.add_argument("--cases", type=Path, help="read what is simulated from such a file")
    parser.add_argument("--quick", action="store_true", help="US-VT, tiny sizes, to see that it runs")
    arguments = parser.parse_args()
    if not (arguments.cases or arguments.quick or arguments.admissions):
        parser.error("--admissions is needed: target-hospital-admissions.csv of the FluSight hub")
    return arguments


# -- what is simulated


def _built(arguments: argparse.Namespace) -> Cases:
    """Build the models by stage A; needs what the tests need."""
    import weekly
    from engines import flu, models
    from experiments import EXP_ID

    # a package of this name among the installed ones would hide the folder
    tests = types.ModuleType("tests")
    tests.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = tests
    from modeling.build.workloads import DataPlaces
    from modeling.suites import build
    from tests.gpu_cases import all_asked, asked_of, digest

    batches = []
    for asked in asked_of("flu in three ages") if arguments.quick else all_asked():
        days = asked.first_day, asked.last_day
        batches.append(
            (
                asked.name,
                (asked.plan, *days),
                asked.arguments,
                digest(asked.compiled().simulate(**asked.arguments)),
            )
        )
    population = "US-VT" if arguments.quick else "US-MA"
    arguments.data = models.data_folder(arguments.data, arguments.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = PLACES[population]
        speed = {
            "SEIRH": models.built(folder / "seirh", models.seirh(population), arguments.data, place),
            "flu": models.built(folder / "flu", flu.simulated(population), arguments.data, place),
        }
        weekly.write(folder / "weekly", arguments)
        config = folder / "weekly" / "experiments" / EXP_ID / "config"
        places = DataPlaces([folder / "weekly"], [arguments.data], folder / "cache")
        units = list(build("built-in", config, None, places, seed=None, count=None).workloads)
    return Cases(batches, speed, units)


# -- the same bytes


def _processor() -> str:
    """Return the name of this machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "processor")


def _digest(done: Simulated) -> str:
    """Return the digest of tests/gpu_cases.py."""
    arrays = b"".join(np.ascontiguousarray(each).tobytes() for each in done[:5])
    return hashlib.sha256(arrays + repr((done.infeasible, done.unused)).encode()).hexdigest()


def _compare(cases: Cases) -> int:
    """Compare both devices with the processor that wrote the cases; return the number of differences."""
    differ = 0
    for name, plan, arguments, expected in cases.batches:
        on_cpu, on_gpu = (
            _digest(compile_plan(*plan).simulate(**arguments, device=device)) for device in ("cpu", "cuda")
        )
        for device, found in (("processor", on_cpu), ("GPU", on_gpu)):
            if found != expected:
                differ += 1
                print(f"{name}: the {device} gives other bytes", flush=True)
    print(f"{len(cases.batches)} batches compared, {differ} differences", flush=True)
    return differ


# -- how fast


def _time(name: str, workload: Workload, sizes: list[int]) -> None:
    """Print trajectories a second by batch size: on the processor, on the GPU, and there without the host."""
    plan = compile_plan(workload.plan, workload.start_date, workload.end_date)
    print(f"\n{name}: trajectories/s       processor             GPU   x   kernel and copies")
    for size in sizes:
        on_cpu = _rate(plan, name, min(size, MOST_ON_CPU), "cpu")
        on_gpu = _rate(plan, name, size, "cuda")
        alone = _kernel_rate(plan, name, size)
        row = f"{on_cpu:>15,.0f} {on_gpu:>15,.0f} {on_gpu / on_cpu:>5.1f} {alone:>15,.0f}"
        print(f"{size:>15,} particles {row}", flush=True)


def _rate(plan: CompiledPlan, name: str, size: int, device: str) -> float:
    def simulate() -> None:
        keys = Keys(1, np.arange(size, dtype=np.uint32))
        plan.simulate({}, keys, None, Observables([], ROWS[name]), device=device)

    return size / _seconds(simulate)


def _kernel_rate(plan: CompiledPlan, name: str, size: int) -> float:
    keys, gpu = Keys(1, np.arange(size, dtype=np.uint32)), gpu_for("cuda")
    ready = plan._ready({}, keys, None, Observables([], ROWS[name]), None)
    out = ready.new_out(len(plan.dates))
    return size / _seconds(lambda: gpu.run(ready.model, ready.batch, ready.look, out, 1, False))


def _seconds(function: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some rounds, after one that is not counted."""
    function()
    best = np.inf
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begun)
    return best


def _calibrate(units: list[Workload], compared: int, at_once: list[int]) -> int:
    """Calibrate and project the units on both devices; return the number that differ."""
    begun = time.perf_counter()
    on_cpu = [_result(unit) for unit in units[:compared]]
    seconds = time.perf_counter() - begun
    print(f"\n{len(on_cpu)} locations on the processor: {seconds:.1f} s", flush=True)
    use_device("cuda")
    differ, gpu = 0, gpu_for("cuda")
    run, spent = gpu.run, []

    def timed(*arguments: Any) -> None:
        began = time.perf_counter()
        run(*arguments)
        spent.append(time.perf_counter() - began)

    gpu.run = timed
    for number in at_once:
        spent.clear()
        begun = time.perf_counter()
        with ThreadPoolExecutor(number) as pool:
            on_gpu = list(pool.map(_result, units))
        seconds = time.perf_counter() - begun
        wrong = sum(one != other for one, other in zip(on_cpu, on_gpu, strict=False))
        differ += wrong
        print(
            f"{len(units)} locations on the GPU, {number} at once: {seconds:.1f} s, {wrong} differ; "
            f"{len(spent):,} batches, on average {sum(spent) / seconds:.1f} at once on the GPU",
            flush=True,
        )
    use_device("cpu")
    return differ


def _result(workload: Workload) -> str:
    """Return a digest of all that a unit's result holds."""
    found = hashlib.sha256()
    for part in _parts(run_workload(workload)):
        found.update(part)
    return found.hexdigest()


def _parts(value: object) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode() + value.tobytes()
    elif is_dataclass(value):
        yield from _parts([getattr(value, each.name) for each in fields(value)])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _parts(each)
    elif isinstance(value, dict):
        yield from _parts(list(value.items()))
    else:
        yield repr(value).encode()


if __name__ == "__main__":
    sys.exit(main())
