"""Time and peak memory of stage C as the number of results grows; memory should stay constant.

Peer: the same results loaded into a list, as a stage C without streaming would start.
"""

import hashlib
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from experiments import EXP_ID, RUN_ID, build_one, calibration, simulation
from measuring import (
    Used,
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

    kind: str  # sampling, calibration, or ensemble (one simulation in parts)
    results: int
    sets: int = 1  # parameter sets a population
    trajectories: int = 100
    formats: tuple[str, ...] = ("csv",)

    @property
    def name(self) -> str:
        written = ", Parquet too" if "parquet" in self.formats else ""
        places = -(-self.results // self.sets)
        return {
            "calibration": f"{self.results:,} calibrations",
            "ensemble": f"{self.results:,} parts of an ensemble",
            "sampling": f"{self.results:,} sets of {places} place{'s' * (places > 1)}",
        }[self.kind] + written


FULL = [
    Case("sampling", 50, 50),
    Case("sampling", 500, 100),
    Case("sampling", 5_000, 100),
    Case("sampling", 5_000, 5_000),
    Case("sampling", 500, 100, formats=("csv", "parquet")),
    Case("ensemble", 50),
    Case("ensemble", 500),
    Case("calibration", 50),
    Case("calibration", 500),
]
QUICK = [
    Case("sampling", 4, 2, trajectories=2, formats=("csv", "parquet")),
    Case("calibration", 2, trajectories=2),
    Case("ensemble", 2, trajectories=2),
]


def main() -> None:
    arguments = read_arguments(__doc__, repeats=3)
    rows = []
    for case in QUICK if arguments.quick else FULL:
        with tempfile.TemporaryDirectory() as folder:
            # in its own process: the one that starts stage C must stay small, or its size would be measured
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
                mib_a_result, mib_on_disk = other.submit(write_run, Path(folder), case).result()
            taken = in_turn(
                {"stage C": lambda: stage_c(Path(folder)), "load all": lambda: load_all(Path(folder))},
                arguments.repeats,
            )
        peaks = {name: [u.peak_mib for u in used] for name, used in taken.items()}
        rows.append(
            [
                case.name,
                f"{mib_a_result:.2f} / {mib_on_disk:.2f}",
                spread(peaks["stage C"], 0),
                spread(peaks["load all"], 0),
                f"{ratio(peaks['stage C'], peaks['load all']):.2f}",
                spread(wall(taken["stage C"]), 1),
                spread(wall(taken["load all"]), 1),
                f"{1000 * statistics.median(wall(taken['stage C'])) / case.results:.0f}",
            ]
        )
        print(f"{case.name}: done", file=sys.stderr)
    columns = ["MiB / file", "C: peak MiB", "L: peak MiB", "C / L", "C: seconds", "L: seconds", "C: ms each"]
    print_table("Stage C (C) against loading all results (L)", ["results", *columns], rows)
    print_machine(arguments.repeats)


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
    from modeling.simulate.run import run_workload
    from pipeline.artifacts import RunFiles
    from pipeline.input_files import DIGESTS, INPUT_LIST
    from pipeline.input_list import InputEntry, write_entries
    from pipeline.manifest import Manifest
    from pipeline.pickles import encode_result
    from pipeline.result_files import result_name
    from pipeline.storage import FolderStorage

    if case.kind in ("sampling", "ensemble"):
        experiment = simulation(case.trajectories)
    else:
        experiment = calibration(case.trajectories, 2)
        experiment["modelset"]["calibration"]["projection"] = {"n_trajectories": case.trajectories}
    experiment["output"]["table_formats"] = list(case.formats)
    result = run_workload(build_one(folder / "forecast", experiment))
    prefix = f"{EXP_ID}/{RUN}/"
    files = RunFiles(FolderStorage(folder / "bucket"), prefix, prefix)
    digests = [hashlib.sha256(b"%d" % index).hexdigest() for index in range(case.results)]
    lines = "".join(f"{digest}\n" for digest in digests).encode()
    manifest = Manifest(
        exp_id=EXP_ID,
        run_id=RUN,
        suite="built-in",
        workflow="simulation" if case.kind == "ensemble" else case.kind,
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
