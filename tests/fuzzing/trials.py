"""What is done with a mutant, in this process, and what must be true of how it ends."""

import contextlib
import csv
import datetime
import io
import logging
import re
import shutil
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import hypothesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.constructs import CONSTRUCTS, HUB_TRAJECTORIES, write_construct
from tests.experiments import EXAMPLES, POPULATIONS, REPOSITORY
from tests.fuzzing.mutants import as_yaml, changed, changes, leaves, table_changes
from tests.stage_scripts import RUN_ID

sys.path.insert(0, str(REPOSITORY / "scripts"))

MOST_SECONDS = 30
MOST_INPUTS = 2
MOST_STEPS = 2_000
SMALL_OPTIONS = {
    "smc": {"num_particles": 4, "num_generations": 1},
    "rejection": {"num_particles": 2, "epsilon": 1e9},
    "top_fraction": {"Nsim": 10, "top_fraction": 0.4},
}
MOST_LINES = 3
MOST_CHARACTERS = 4_500  # of a line: a message of modeling/plain_text.py and what stands before it
MOST_KEPT = 2_000  # accepted mutants
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Ended:
    """How a stage ended, what it said, and what else reached the terminal."""

    exit_code: int
    lines: list[str]
    seconds: float

    @property
    def refused(self) -> bool:
        return self.exit_code == 2


@dataclass
class Tally:
    """How the mutants ended."""

    ends: Counter = field(default_factory=Counter)
    accepted: list[Any] = field(default_factory=list, repr=False)  # the mutants themselves
    slowest_seconds: float = 0.0

    def add(self, mutant: Any, ended: Ended) -> None:
        """Count a mutant, and keep it where it is valid."""
        self.ends["refused" if ended.refused else "valid"] += 1
        self.slowest_seconds = max(self.slowest_seconds, ended.seconds)
        if not ended.refused and len(self.accepted) < MOST_KEPT:
            self.accepted.append(mutant)

    def __str__(self) -> str:
        ends = ", ".join(f"{number:,} {end}" for end, number in sorted(self.ends.items()))
        return f"{self.count:,} mutants ({ends}), the slowest {self.slowest_seconds:.1f} s"

    @property
    def count(self) -> int:
        return self.ends.total()


class TookTooLong(BaseException):
    """A mutant was still at work after MOST_SECONDS."""


class Workplace:
    """A folder with a forecasting repository, in which one mutant after the other is tried.

    Its experiment is an example, or one of CONSTRUCTS.
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.exp_id = folder, name
        self.forecast = folder / "forecast"
        if name in CONSTRUCTS:
            self.exp_id = write_construct(self.forecast, name).parent.name
        else:
            shutil.copytree(EXAMPLES / "experiments" / name, self.forecast / "experiments" / name)
            (self.forecast / "data").mkdir()
            shutil.copy(EXAMPLES / "data" / "demo_admissions.csv", self.forecast / "data")
        self.documents = {
            path.relative_to(self.forecast).as_posix(): yaml.safe_load(path.read_text())
            for path in sorted(self.forecast.glob("experiments/**/*.yaml"))
        }

    @property
    def run_folder(self) -> Path:
        return self.folder / "bucket" / self.exp_id / RUN_ID

    @contextlib.contextmanager
    def holding(self, files: dict[str, bytes]) -> Iterator[None]:
        """Hold other files for a while; nothing of a run is there before."""
        kept = {name: (self.forecast / name).read_bytes() for name in files}
        shutil.rmtree(self.folder / "bucket", ignore_errors=True)
        try:
            for name, content in files.items():
                (self.forecast / name).write_bytes(content)
            yield
        finally:
            for name, content in kept.items():
                (self.forecast / name).write_bytes(content)

    def run(self, stage: str, **variables: object) -> Ended:
        """Run a stage as its script does, but for the process."""
        work = {"builder": "build_run", "runner": "run_task", "output": "write_outputs"}[stage]
        act = getattr(import_module(f"main_{stage}"), work)
        return ended(lambda: act(self.context(**variables)))

    def context(self, **variables: object):
        """Return what a stage would read from its environment."""
        from pipeline.environment import read_stage_context

        environ = {
            "EXECUTION_MODE": "local",
            "LOCAL_DATA_PATH": str(self.folder),
            "EPYDEMIX_DATA_DIR": str(POPULATIONS),
            "EXP_ID": self.exp_id,
            "RUN_ID": RUN_ID,
        } | {name: str(value) for name, value in variables.items()}
        return read_stage_context(environ)

    def left_behind(self) -> list[str]:
        """Return the files of the run that is there."""
        bucket = self.folder / "bucket"
        return sorted(p.relative_to(bucket).as_posix() for p in bucket.rglob("*") if p.is_file())


def ended(work: Callable[[], object]) -> Ended:
    """Do the work of a stage and return how it ends; see check for what is wrong."""
    from modeling.build.warnings import warn_once
    from pipeline.failures import exit_code_of
    from pipeline.logs import start_logging

    warn_once.cache_clear()
    said, root, started = io.StringIO(), logging.getLogger(), time.monotonic()
    handlers, level = root.handlers[:], root.level
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
        warnings.catch_warnings(record=True) as loose,
    ):
        warnings.simplefilter("always")
        start_logging("local", "INFO", {"stage": "fuzz"})
        try:
            with _alarm():
                exit_code = exit_code_of(work, logging.getLogger("pipeline"))
        finally:
            root.handlers[:], root.level = handlers, level
    lines = said.getvalue().splitlines() + [
        f"{w.category.__name__}: {w.message}" for w in loose if _is_shown(w)
    ]
    return Ended(exit_code, lines, time.monotonic() - started)


def check(ended: Ended) -> None:
    """Fail unless a stage succeeded or refused its input as it should."""
    said = "\n".join(ended.lines)
    assert ended.exit_code in (0, 2), f"exit code {ended.exit_code}\n{said}"
    assert "Traceback" not in said, said
    assert ended.seconds < MOST_SECONDS, f"{ended.seconds:.0f} s\n{said}"
    errors = [line for line in ended.lines if ": warning: " not in line]
    if ended.refused:
        assert 1 <= len(errors) <= MOST_LINES, f"{len(errors)} lines\n{said}"
    for line in ended.lines:
        assert len(line) <= MOST_CHARACTERS, f"a line of {len(line)} characters\n{line[:300]}"
        assert not CONTROLS.search(line), f"control characters in {line!r}"
        assert not re.match(r"\w*Warning: ", line), f"a warning of a library\n{line}"


def build(place: Workplace, files: dict[str, bytes], tally: Tally) -> None:
    """Put files into a forecasting repository and run stage A: all of a run is there, or nothing."""
    with place.holding(files):
        ended = place.run("builder")
        check(ended)
        left = place.left_behind()
    if ended.refused:
        assert not left, f"left behind: {left}"
    else:
        assert any(name.endswith("/manifest.json") for name in left), left
    tally.add(files, ended)


def run_through(place: Workplace, files: dict[str, bytes]) -> bool:
    """Run all three stages of an accepted mutant, made small: two inputs, two trajectories each.

    Returns
    -------
    bool
        False where it is still too large to run within MOST_SECONDS.
    """
    small = _made_small(place, files)
    if small is None:
        return False
    with place.holding(small):
        built = place.run("builder")
        check(built)
        if built.refused:  # fewer trajectories than it needs
            return False
        for index in range(MOST_INPUTS):
            ran = place.run("runner", TASK_INDEX=index)
            check(ran)
        wrote = place.run("output", ALLOW_PARTIAL_RESULTS=1)
        check(wrote)
        left = place.left_behind()
    assert wrote.refused != any(name.endswith("/files.json") for name in left), left
    return True


class _Loader(yaml.SafeLoader):
    """PyYAML's, which also reads a bare "=" as text, as stage A does."""


_Loader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)


def _made_small(place: Workplace, files: dict[str, bytes]) -> dict[str, bytes] | None:
    written = {name: files.get(name, as_yaml(document)) for name, document in place.documents.items()}
    documents = {name: yaml.load(content, _Loader) for name, content in written.items()}
    parts = {kind: part for document in documents.values() for kind, part in document.items()}
    model, modelset = parts["model"], parts.get("modelset") or {}
    calibration = modelset.get("calibration")
    model["simulation"] = {**(model.get("simulation") or {}), "n_sims": 2}
    if calibration:
        strategy = calibration["strategy"]
        strategy["options"] = SMALL_OPTIONS[strategy["name"].lower()]
        if calibration.get("projection"):
            is_for_hub = (parts.get("output") or {}).get("flusight_format")
            calibration["projection"] = {"n_trajectories": HUB_TRAJECTORIES if is_for_hub else 2}
    days = _days(model, calibration or modelset.get("sampling"))
    if days is None or days / model["timespan"].get("delta_t", 1) > MOST_STEPS:
        return None
    changed_data = {name: content for name, content in files.items() if name.endswith(".csv")}
    return changed_data | {name: as_yaml(document) for name, document in documents.items()}


def _days(model: dict, drawn: dict | None) -> int | None:
    """Return the days of a model, as far as its dates are written plainly."""
    span = model["timespan"]
    start = span.get("start_date")
    if start in ("calibrated", "sampled") and drawn:
        start = drawn["start_date"]["reference_date"]
    try:
        ends = [datetime.date.fromisoformat(str(day)[:10]) for day in (start, span["end_date"])]
    except ValueError:
        return None
    return (ends[1] - ends[0]).days


def experiment_mutants(place: Workplace) -> list[st.SearchStrategy[dict[str, bytes]]]:
    """Return a strategy a leaf of the experiment's YAML files: one file of them, mutated there."""
    found = []
    for name, document in place.documents.items():
        values = [value for _, value in leaves(document)]
        for at, value in leaves(document):
            found.append(
                changes(at, value, values, raw=True).map(
                    lambda change, name=name, document=document: {name: as_yaml(changed(document, change))}
                )
            )
    return found


def data_mutants(place: Workplace, name: str) -> list[st.SearchStrategy[dict[str, bytes]]]:
    """Return a strategy a cell of a CSV file."""
    with (place.forecast / name).open(newline="") as file:
        rows = list(csv.reader(file))
    cells = [(row, column) for row in range(len(rows)) for column in range(len(rows[row]))]
    return [table_changes(rows, *cell).map(lambda content: {name: content}) for cell in cells]


def spread(mutants: Sequence[Any], number: int) -> Sequence[Any]:
    """Return at least so many of the mutants, evenly from the first to the last, as far as there are."""
    return mutants[:: max(1, len(mutants) // number)]


def try_all(
    strategies: list[st.SearchStrategy], count: int, seed: int, trial: Callable[[object], None]
) -> None:
    """Try `count` mutants, as many of each strategy; the first that fails is shrunk and raised."""
    assert count >= len(strategies), f"{count} mutants are too few for {len(strategies)} places"
    each, more = divmod(count, len(strategies))
    for index, strategy in enumerate(strategies):
        _try(strategy, each + (index < more), seed + index, trial)


def _try(strategy: st.SearchStrategy, count: int, seed: int, trial: Callable[[object], None]) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(mutant=strategy)
    def every_mutant_is_refused_or_valid(mutant):
        trial(mutant)

    every_mutant_is_refused_or_valid()


def _is_shown(warning: warnings.WarningMessage) -> bool:
    return not issubclass(warning.category, (DeprecationWarning, PendingDeprecationWarning, ResourceWarning))


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(number, frame):
        raise TookTooLong(f"more than {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    remaining = signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)[0]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, max(remaining, 0.001) if remaining else 0)
        signal.signal(signal.SIGALRM, before)
