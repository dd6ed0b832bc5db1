"""The results of a run: written and looked for by stage B, read one after another by stage C."""

from collections.abc import Iterator

from modeling.failures import UserError
from modeling.run_names import RUNNER, SUMMARIES
from pipeline.artifacts import RunFiles
from pipeline.input_files import Inputs
from pipeline.manifest import Manifest
from pipeline.pickles import (
    AnyResult,
    DamagedResult,
    ForeignResult,
    check_result_file,
    decode_result,
    encode_result,
)
from pipeline.storage import MissingFile


def result_name(index: int, width: int) -> str:
    return f"{RUNNER}result_{index:0{width}d}.pkl"


def finished_inputs(files: RunFiles, manifest: Manifest, prefix: str) -> set[int]:
    """Return the inputs that have a result below a run's prefix, by one listing."""
    return _inputs_in(files, manifest, f"{prefix}{RUNNER}result_", ".pkl")


def summarized_inputs(files: RunFiles, manifest: Manifest, prefix: str) -> set[int]:
    """Return the inputs whose task wrote a summary below a run's prefix, by one listing."""
    return _inputs_in(files, manifest, f"{prefix}{SUMMARIES}runner_", ".json")


def _inputs_in(files: RunFiles, manifest: Manifest, prefix: str, suffix: str) -> set[int]:
    found = set()
    for name in files.storage.list_files(prefix):
        digits = name.removeprefix(prefix).removesuffix(suffix)
        is_index = digits.isascii() and digits.isdecimal() and len(digits) == manifest.width
        if is_index and int(digits) < manifest.num_workloads:
            found.add(int(digits))
    return found


class Results:
    """The results of a built run, each bound to its input by the input's digest."""

    def __init__(self, inputs: Inputs):
        self.files, self.manifest, self._inputs = inputs.files, inputs.manifest, inputs

    # -- stage B, below out_prefix

    def write(self, result: AnyResult) -> str:
        """Write a result and return its path."""
        name = self.files.out_prefix + self._name(result.index)
        self.files.storage.save_bytes(name, encode_result(result, self._inputs.digests[result.index]))
        return self.files.storage.get_path(name)

    def has(self, index: int) -> bool:
        """Tell whether there is a whole result of this very input, or one of another version of the code."""
        try:
            data = self.files.storage.load_bytes(self.files.out_prefix + self._name(index))
            check_result_file(data, self._inputs.digests[index], "")
        except ForeignResult:
            return True
        except UserError:
            return False
        return True

    def read(self, index: int) -> AnyResult:
        """Return a result that `has` found; ForeignResult where only another version can read it."""
        name = self.files.out_prefix + self._name(index)
        data = self.files.storage.load_bytes(name)
        (entry,) = self._inputs.entries([index])
        path = self.files.storage.get_path(name)
        return decode_result(data, index, self._inputs.digests[index], entry, path)

    # -- stage C, below in_prefix

    def read_many(self, indices: list[int]) -> Iterator[tuple[int, AnyResult | MissingFile | DamagedResult]]:
        """Yield each result in order, or why it cannot be used; a few are read ahead.

        Raises
        ------
        ForeignResult
            At the first result of another version of the code, since the others will be alike.
        """
        names = (self.files.in_prefix + self._name(index) for index in indices)
        loaded = self.files.storage.load_many(names)
        for index, entry, (name, data) in zip(indices, self._inputs.entries(indices), loaded, strict=True):
            if isinstance(data, MissingFile):
                yield index, data
                continue
            path = self.files.storage.get_path(name)
            try:
                yield index, decode_result(data, index, self._inputs.digests[index], entry, path)
            except DamagedResult as damage:
                yield index, damage

    def delete(self, index: int) -> None:
        """Remove a damaged result; the next run would otherwise count it as finished."""
        self.files.storage.delete_file(self.files.in_prefix + self._name(index))

    def _name(self, index: int) -> str:
        return result_name(index, self.manifest.width)
