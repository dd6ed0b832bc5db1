"""The checkpoint of a calibration, beside its result: a runner that was preempted goes on from there.

No other stage reads it, and no result depends on it, so one that cannot be used is ignored. A rejection and a
top fraction leave none: they have no generations.
"""

import contextlib
import logging
import time

from modeling.failures import UserError
from modeling.run_names import RUNNER
from modeling.workload import Checkpoint
from pipeline.failures import TemporaryFault
from pipeline.input_files import Inputs
from pipeline.pickles import ForeignResult, decode_checkpoint, encode_checkpoint
from pipeline.storage import MissingFile, UnusableFile

log = logging.getLogger("pipeline")

SECONDS_BETWEEN = 5  # writes; a bucket takes a tenth of a second for one, and a generation may take less
_FAULTS = (UserError, TemporaryFault, OSError)


class CheckpointFile:
    """The checkpoint of one input, bound to it by the input's digest."""

    def __init__(self, inputs: Inputs, index: int):
        self._inputs, self._index, self._storage = inputs, index, inputs.files.storage
        self._name = f"{inputs.files.out_prefix}{RUNNER}checkpoint_{index:0{inputs.manifest.width}d}.pkl"
        self._written = time.monotonic()

    def read(self) -> Checkpoint | None:
        """Return the checkpoint of an earlier attempt; None if there is none that can be used."""
        path = self._storage.get_path(self._name)
        try:
            data = self._storage.load_bytes(self._name)
            (entry,) = self._inputs.entries([self._index])
            digest = self._inputs.digests[self._index]
            return decode_checkpoint(data, digest, entry.most_result_bytes, path)
        except UnusableFile as error:
            reason = str(error)
        except MissingFile:
            return None
        except ForeignResult:
            reason = f"{path}: of another version of the code"
        except UserError as error:
            reason = str(error) if str(error).startswith(path) else f"{path}: {error}"
        log.warning("%s; the calibration starts from the beginning", reason)
        return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, unless the last one is a few seconds old."""
        if time.monotonic() - self._written < SECONDS_BETWEEN:
            return
        data = encode_checkpoint(checkpoint, self._index, self._inputs.digests[self._index])
        try:
            self._storage.save_bytes(self._name, data)
        except _FAULTS as error:  # the calibration may still succeed
            log.warning(
                "%s; another attempt would start from an earlier generation than %d",
                error,
                checkpoint.generations[-1].number,
            )
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the checkpoint of an input that has a result, or is to be computed from the beginning."""
        with contextlib.suppress(*_FAULTS):
            self._storage.delete_file(self._name)
