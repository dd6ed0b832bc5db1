"""A run that has ended, and everybody who reads what it left: the stages, and the tasks of an operator."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hypothesis import strategies as st

from ops.costs.task_times import measured_here
from ops.environment import read_settings
from ops.failures import DryRunEnds
from ops.failures import UserError as OperatorError
from ops.laptop.run_tables import show_results, show_runs
from ops.runs.reproduction import reproduce
from ops.shell import Shell
from tests.fuzzing.mutants import as_json, changed, changes, leaves
from tests.fuzzing.trials import Ended, Tally, Workplace, check, ended, run_through
from tests.stage_scripts import RUN_ID

BROKEN = [b"", b"{", b"null", b"[]", b"{}", b"7", b'"x"', b"\xff\xfe{", b"[" * 100_000, b'{"a":' * 100_000]
BROKEN += [b"\x00" * 100, b"{}" * 2, b"NaN", b"-1", b"0\n0\n", b"1e400"]
Artifact = tuple[str, bytes]  # its name in the run, and what is in it


class FinishedRun:
    """A run of two inputs that is put back as it was after each mutant."""

    def __init__(self, folder: Path):
        self.place = Workplace(folder, "scenarios")
        assert run_through(self.place, {})
        self.pristine = folder / "pristine"
        shutil.move(self.place.run_folder, self.pristine)
        self.files = {
            p.relative_to(self.pristine).as_posix(): p
            for p in sorted(self.pristine.rglob("*"))
            if p.is_file()
        }

    def mutants(self) -> list[st.SearchStrategy[Artifact]]:
        """Return a strategy for each leaf of a JSON file, line of a list, and file as a whole."""
        found = []
        for name, path in self.files.items():
            content = path.read_bytes()
            if path.suffix == ".json":
                document = json.loads(content)
                values = [value for _, value in leaves(document)]
                found += [
                    changes(at, value, values).map(
                        lambda change, name=name, document=document: (
                            name,
                            as_json(changed(document, change)),
                        )
                    )
                    for at, value in leaves(document)
                ]
            elif path.suffix in (".txt", ".sha256"):
                lines = content.splitlines(keepends=True)
                found += [_line_mutants(name, lines, number) for number in range(min(len(lines), 3))]
            if path.suffix in (".json", ".txt", ".sha256", ".pkl", ".gz"):
                found.append(_file_mutants(name, content))
        return found

    def read(self, artifact: Artifact, tally: Tally) -> None:
        """Put an artifact into the run and have everybody read it; each succeeds, or refuses it in a line."""
        name, content = artifact
        ends = []
        for act in self._readers(name):
            shutil.rmtree(self.place.run_folder, ignore_errors=True)
            shutil.copytree(self.pristine, self.place.run_folder)
            (self.place.run_folder / name).write_bytes(content)
            ends.append(act())
            check(ends[-1])
            left = set(self.place.left_behind())
            half = [each for each in left if ".tmp" in each or each.endswith(".part")]
            assert not half, f"half-written: {half}"
        tally.add(artifact, max(ends, key=lambda end: (end.refused, end.seconds)))

    def _readers(self, name: str) -> list[Callable[[], Ended]]:
        """Return who reads a file of the run, so that no time goes into those that do not."""
        exp_id = self.place.exp_id
        runs = self._operator(lambda settings: show_runs(settings, exp_id))
        results = self._operator(lambda settings: show_results(settings, exp_id))
        measured = self._operator(lambda settings: measured_here(settings, exp_id, RUN_ID))
        again = self._operator(lambda settings: reproduce(Shell(True), settings, exp_id, RUN_ID, RUN_ID))
        built = partial(self.place.run, "builder")
        left_alone = partial(self.place.run, "runner", TASK_INDEX=0)
        forced = partial(self.place.run, "runner", BATCH_TASK_INDEX=0, FORCE=1)
        folder = name.partition("/")[0]
        return {
            "builder-artifacts": [built, left_alone, forced, self._collected, runs, results],
            "runner-artifacts": [left_alone, self._collected, runs],
            "summaries": [built, left_alone, self._collected, runs, measured],
            "outputs": [runs, results, again],
            "run_metadata.json": [runs, measured, again],
        }.get(folder, [built, self._collected, runs])

    def write_outputs(self, artifact: Artifact) -> Ended:
        """Run the whole of stage C with an artifact in the run."""
        name, content = artifact
        shutil.rmtree(self.place.run_folder, ignore_errors=True)
        shutil.copytree(self.pristine, self.place.run_folder)
        (self.place.run_folder / name).write_bytes(content)
        before = len(list(self.place.run_folder.glob("outputs/*/files.json")))
        end = self.place.run("output", ALLOW_PARTIAL_RESULTS=1)
        check(end)
        after = len(list(self.place.run_folder.glob("outputs/*/files.json")))
        assert after == before + (not end.refused), f"{before} finished outputs, then {after}"
        return end

    def _collected(self) -> Ended:
        """Read the run as stage C does, without drawing."""
        from modeling.outputs.collect import Collector
        from modeling.vocabulary.output import DEFAULT_OUTPUT
        from pipeline.artifacts import RunFiles, open_storage
        from pipeline.metadata import read_run_record
        from pipeline.outputs import collect as collect_results

        context = self.place.context(ALLOW_PARTIAL_RESULTS=1)
        folder = self.place.folder / "collected"

        def collect() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            files = RunFiles(open_storage(context), context.in_prefix, context.out_prefix)
            manifest = files.read_manifest()
            record = read_run_record(files, manifest)
            collector = Collector(DEFAULT_OUTPUT, folder)
            missing = collect_results(files, collector, record, allow_partial=True)
            record.facts(collector.finish(), missing, [])

        return ended(collect)

    def _operator(self, work: Callable[[object], object]) -> Callable[[], Ended]:
        """Return what does the work of a task, and ends as tasks.py ends it."""
        from modeling.failures import UserError

        environ = {"LOCAL_DATA_PATH": str(self.place.folder), "EXECUTION_MODE": "local"}

        def act() -> None:
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(DryRunEnds):
                    work(read_settings(environ))
            except OperatorError as error:
                raise UserError(str(error)) if error.exit_code == 2 else error from None

        return partial(ended, act)


def _line_mutants(name: str, lines: list[bytes], number: int) -> st.SearchStrategy[Artifact]:
    line = lines[number]
    texts = [
        b"",
        b"\n",
        b"0\n",
        b"-1\n",
        b"9" * 20 + b"\n",
        b"x\n",
        b"\xff\n",
        line * 2,
        line[:-1],
        line.upper(),
    ]
    return st.one_of(st.sampled_from(texts), st.binary(max_size=len(line) + 2)).map(
        lambda text: (name, b"".join([*lines[:number], text, *lines[number + 1 :]]))
    )


def _file_mutants(name: str, content: bytes) -> st.SearchStrategy[Artifact]:
    cut = st.integers(0, len(content)).map(lambda length: content[:length])
    flipped = st.integers(0, max(len(content) - 1, 0)).map(
        lambda at: content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :] if content else b"x"
    )
    return st.one_of(st.sampled_from(BROKEN), cut, flipped).map(lambda mutated: (name, mutated))
