"""Results written and read, the time of stage C for a location, and its peak memory as results grow.

Peers: a result as a compressed pickle, read without any check; the quantiles of a location from one pandas
frame a trajectory; the results of a run loaded into a list, as a stage C without streaming would start.
"""

import hashlib
import pickle
import statistics
import sys
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from experiments import EXP_ID, RUN_ID, build_one, calibration, simulation, write_repository
from locations import COMPARTMENT, LARGE, TRANSITION, Size, location
from measuring import (
    Used,
    cpu,
    environment,
    in_turn,
    measured,
    print_machine,
    print_table,
    ratio,
    read_arguments,
    run_process,
    spread,
    wall,
)

RUN = RUN_ID.format(0)
CREATED_AT = "2026-01-31T12:00:00Z"
LOAD_ALL = """
import sys
from pathlib import Path
from measuring import ROOT
from pipeline.artifacts import RunFiles
from pipeline.input_files import Inputs
from pipeline.result_files import Results, finished_inputs
from pipeline.storage import FolderStorage
files = RunFiles(FolderStorage(Path(sys.argv[1])), sys.argv[2], sys.argv[2])
manifest = files.read_manifest()
indices = sorted(finished_inputs(files, manifest, sys.argv[2]))
results = list(Results(Inputs(files, manifest)).read_many(indices))
assert len(results) == manifest.num_workloads
"""


@dataclass(frozen=True)
class Case:
    """Kind and number of results, and their distribution over populations."""

    kind: str  # sampling, calibration, ensemble (one simulation in parts), or location (large calibrations)
    results: int
    sets: int = 1  # parameter sets a population
    trajectories: int = 100
    formats: tuple[str, ...] = ("csv",)
    size: Size = LARGE  # of a location

    @property
    def name(self) -> str:
        written = ", Parquet too" if "parquet" in self.formats else ""
        places = -(-self.results // self.sets)
        return {
            "location": f"{self.results:,} large calibrations",
            "calibration": f"{self.results:,} calibrations",
            "ensemble": f"{self.results:,} parts of an ensemble",
            "sampling": f"{self.results:,} sets of {places} place{'s' * (places > 1)}",
        }[self.kind] + written


FULL = [
    Case("location", 52),
    Case("calibration", 52),
    Case("calibration", 1_000),
    Case("calibration", 10_000),
    Case("sampling", 1_000, 100),
    Case("sampling", 10_000, 100),
    Case("sampling", 10_000, 10_000),
    Case("sampling", 1_000, 100, formats=("csv", "parquet")),
    Case("ensemble", 1_000),
]
TINY = Size(projections=20, particles=10, generations=2, weeks=6, compartments=5)
QUICK = [
    Case("location", 2, size=TINY),
    Case("sampling", 4, 2, trajectories=2, formats=("csv", "parquet")),
    Case("calibration", 2, trajectories=2),
    Case("ensemble", 2, trajectories=2),
]
FEW, MORE = 2, 12  # locations of two runs, whose difference is the time of the further ones
MOST_LOADED = 1_000  # results at once, of the peer; more would not fit into memory


def main() -> None:
    arguments = read_arguments(__doc__, repeats=3)
    size = TINY if arguments.quick else LARGE
    result_table(size, arguments.repeats)
    location_table(size, arguments.repeats)
    memory_table(QUICK if arguments.quick else FULL, arguments.repeats)
    print_machine(arguments.repeats)


def apart(function: Callable, *arguments: object):
    """Call a function in a process of its own: the one that starts stage C must stay small.

    Otherwise its size would be measured as that of stage C.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        return other.submit(function, *arguments).result()


# -- a result, written and read


def result_table(size: Size, repeats: int) -> None:
    taken, mib = apart(write_and_read, size, repeats)
    peer = taken["pickle"]
    rows = []
    for name, used in taken.items():
        ratios = (f"{ratio(cpu(used), cpu(peer)):.2f}", f"{ratio(wall(used), wall(peer)):.2f}")
        rows.append([RESULT_FILES[name], f"{mib[name]:.1f}", *ratios, spread(cpu(used)), spread(wall(used))])
    columns = ["MiB", "CPU / peer", "wall / peer", "CPU seconds", "wall seconds"]
    print_table("A result of a location, written and read", ["file", *columns], rows)


RESULT_FILES = {"pickle": "pickle, zlib level 1 (peer)", "result": "result, checked twice"}


def write_and_read(size: Size, repeats: int) -> tuple[dict[str, list[Used]], dict[str, float]]:
    """Return what both ways take for the same result, and the MiB of their files."""
    from modeling.result_checks import check_result
    from pipeline.input_list import InputEntry
    from pipeline.pickles import decode_result, encode_result
    from pipeline.storage import FolderStorage

    result, digest = location(size), "0" * 64
    fields = {name: getattr(result, name) for name in InputEntry._fields[:-1]}
    entry = InputEntry(**fields, most_result_bytes=1 << 30)
    with tempfile.TemporaryDirectory() as folder:
        storage = FolderStorage(Path(folder))

        def by_hand() -> None:
            storage.save_bytes("pickle", zlib.compress(pickle.dumps(result, protocol=5), level=1))
            pickle.loads(zlib.decompress(storage.load_bytes("pickle")))

        def ours() -> None:
            check_result(result)
            storage.save_bytes("result", encode_result(result, digest))
            decode_result(storage.load_bytes("result"), 0, digest, entry, "result")

        cases = {"pickle": lambda: measured(by_hand), "result": lambda: measured(ours)}
        taken = in_turn(cases, repeats)
        return taken, {name: Path(folder, name).stat().st_size / 2**20 for name in taken}


# -- stage C: the time of a location


def location_table(size: Size, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = {count: Path(folder, str(count)) for count in (FEW, MORE)}
        for count, path in runs.items():
            apart(write_run, path, Case("location", count, size=size))
        taken = in_turn(
            {
                "few": lambda: stage_c(runs[FEW]),
                "more": lambda: stage_c(runs[MORE]),
                "pandas": lambda: apart(pandas_quantiles, size),
            },
            repeats,
        )
    further = [
        Used(
            *(
                (getattr(b, part) - getattr(a, part)) / (MORE - FEW)
                for part in ("wall_seconds", "cpu_seconds")
            )
        )
        for a, b in zip(taken["few"], taken["more"], strict=True)
    ]
    rows = [["one location alone, without its share of the start", *_compared(further, taken["pandas"])]]
    rows.append(["quantiles of two series by pandas (peer)", *_compared(taken["pandas"], taken["pandas"])])
    columns = ["CPU / peer", "CPU seconds", "wall seconds"]
    print_table("Stage C, a location: read, tables, charts, report", ["work", *columns], rows)


def _compared(used: list[Used], peer: list[Used]) -> list[str]:
    return [f"{ratio(cpu(used), cpu(peer)):.2f}", spread(cpu(used)), spread(wall(used))]


def pandas_quantiles(size: Size) -> Used:
    """Return what quantiles take with one data frame a trajectory, as in epymodelingsuite."""
    import pandas

    from modeling.vocabulary.output import Quantiles

    paths, levels = location(size).trajectories, Quantiles().selections

    def work() -> None:
        names = [*paths.compartments, *paths.transitions]
        frames = []
        for number in range(paths.count):
            counts = [*paths.in_compartments[number], *paths.by_transition[number]]
            frame = pandas.DataFrame(dict(zip(names, counts, strict=True)))
            frames.append(frame.assign(date=paths.dates, sim_id=number))
        pandas.concat(frames).groupby("date")[[COMPARTMENT, TRANSITION]].quantile(levels)

    return measured(work)


# -- stage C: peak memory


def memory_table(cases: list[Case], repeats: int) -> None:
    rows = []
    for case in cases:
        rounds = repeats if case.results <= MOST_LOADED else 1
        with tempfile.TemporaryDirectory() as folder:
            mib_a_result, mib_on_disk = apart(write_run, Path(folder), case)
            work = {"stage C": lambda: stage_c(Path(folder))}
            if case.results * mib_a_result <= MOST_LOADED:
                work["load all"] = lambda: load_all(Path(folder))
            taken = in_turn(work, rounds)
        peaks = {name: [u.peak_mib for u in used] for name, used in taken.items()}
        has_peer = "load all" in taken
        rows.append(
            [
                case.name,
                f"{mib_a_result:.2f} / {mib_on_disk:.2f}",
                spread(peaks["stage C"], 0),
                spread(peaks["load all"], 0) if has_peer else "-",
                f"{ratio(peaks['stage C'], peaks['load all']):.2f}" if has_peer else "-",
                spread(wall(taken["stage C"]), 1),
                f"{1000 * statistics.median(cpu(taken['stage C'])) / case.results:.0f}",
            ]
        )
        print(f"{case.name}: done", file=sys.stderr)
    columns = ["MiB / file", "C: peak MiB", "L: peak MiB", "C / L", "C: seconds", "C: CPU ms each"]
    print_table("Stage C (C) against loading all results (L)", ["results", *columns], rows)


def stage_c(folder: Path) -> Used:
    variables = environment(
        EXECUTION_MODE="local", LOCAL_DATA_PATH=folder, EXP_ID=EXP_ID, RUN_ID=RUN, FORECAST_REPO_DIR=folder
    )
    return run_process([sys.executable, "scripts/main_output.py"], variables)


def load_all(folder: Path) -> Used:
    argv = [sys.executable, "-c", LOAD_ALL, str(folder / "bucket"), f"{EXP_ID}/{RUN}/"]
    return run_process(argv, environment(PYTHONPATH=Path(__file__).parent))


def write_run(folder: Path, case: Case) -> tuple[float, float]:
    """Write a finished run: one real result, copied under other names.

    Returns
    -------
    tuple of float
        MiB of a result in memory, and of its file.
    """
    from pipeline.artifacts import RunFiles
    from pipeline.input_files import DIGESTS, INPUT_LIST
    from pipeline.input_list import InputEntry, write_entries
    from pipeline.manifest import Manifest
    from pipeline.pickles import encode_result
    from pipeline.result_files import result_name
    from pipeline.storage import FolderStorage

    result = _result(folder, case)
    prefix = f"{EXP_ID}/{RUN}/"
    files = RunFiles(FolderStorage(folder / "bucket"), prefix, prefix)
    digests = [hashlib.sha256(b"%d" % index).hexdigest() for index in range(case.results)]
    lines = "".join(f"{digest}\n" for digest in digests).encode()
    manifest = Manifest(
        exp_id=EXP_ID,
        run_id=RUN,
        suite="built-in",
        workflow={"ensemble": "simulation", "location": "calibration"}.get(case.kind, case.kind),
        created_at=CREATED_AT,
        seed=result.seed,
        num_workloads=case.results,
        num_pending=case.results,
        workloads_per_task=1,
        inputs_sha256=hashlib.sha256(lines).hexdigest(),
    )

    def copy_of(index: int):
        return replace(result, index=index, **_place(case, index))

    def entry_of(index: int) -> InputEntry:
        copy = copy_of(index)
        fields = {name: getattr(copy, name) for name in InputEntry._fields[:-1]}
        return InputEntry(**fields, most_result_bytes=1 << 30)

    listed = write_entries(entry_of(index) for index in range(case.results))
    manifest = replace(manifest, input_list_sha256=hashlib.sha256(listed).hexdigest())

    def copies():
        for index, digest in enumerate(digests):
            copy = copy_of(index)
            yield prefix + result_name(index, manifest.width), encode_result(copy, digest)

    files.storage.save_many(copies())
    for index in range(case.results):
        files.write_summary(f"runner_{index:04d}", _summary(index))
    config = (folder / "forecast").glob("experiments/*/config/*.yaml")
    files.write_config({path.stem: path for path in config})
    files.storage.save_bytes(prefix + DIGESTS, lines)
    files.storage.save_bytes(prefix + INPUT_LIST, listed)
    files.write_manifest(manifest)
    arrays = (result.trajectories.in_compartments, result.trajectories.by_transition)
    size = len(files.storage.load_bytes(prefix + result_name(0, manifest.width)))
    return sum(a.nbytes for a in arrays) / 2**20, size / 2**20


def _result(folder: Path, case: Case):
    """Return the result that is copied, and write the experiment that it is of."""
    from modeling.simulate.run import run_workload

    if case.kind in ("sampling", "ensemble"):
        experiment = simulation(case.trajectories)
    else:
        experiment = calibration(case.trajectories, 2)
        experiment["modelset"]["calibration"]["projection"] = {"n_trajectories": case.trajectories}
    experiment["output"]["table_formats"] = list(case.formats)
    if case.kind == "location":
        experiment["output"]["quantiles"] = {"compartments": [COMPARTMENT], "transitions": [TRANSITION]}
        write_repository(folder / "forecast", experiment)
        return location(case.size)
    return run_workload(build_one(folder / "forecast", experiment))


def _place(case: Case, index: int) -> dict:
    """Return the fields in which results differ: the part of the ensemble, or population and set."""
    if case.kind == "ensemble":
        total = case.results * case.trajectories
        return {"first_trajectory": index * case.trajectories, "ensemble_total": total}
    place, position = divmod(index, case.sets)
    return {
        "primary_id": index,
        "population": f"P{place:03d}",
        "population_name": f"Population {place}",
        "set_index": position,
        "set_count": case.sets,
    }


def _summary(index: int) -> dict:
    return {
        "status": "done",
        "task_index": index,
        "wall_seconds": 5.0,
        "cpu_seconds": 5.0,
        "simulations": 100,
    }


if __name__ == "__main__":
    main()
