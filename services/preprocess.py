"""POST /preprocess: check an upload, and split it into units and shards."""

import hashlib
import math
from itertools import pairwise
from pathlib import Path

from modeling.failures import UserError
from modeling.plain_text import excerpt
from pipeline.storage import MissingFile
from services.failures import Conflict
from services.messages import RESULT, PreprocessAnswer, PreprocessRequest, ShardRange
from services.models import Upload
from services.objects import Objects, sha256_of
from services.packets import InputsHead, Unreadable, pack, unpack
from services.plugins import Plugins, label_of, model_files
from services.results import read_result
from services.settings import Settings

HEAD_BYTES = 4 << 10  # of a file, by which a model says whether it takes it
MOST_NAME_BYTES = 824  # of a result's folder in its bucket: a file's whole name has at most 1,024
_USABLE = 0.8  # of a request's time; the rest is for reading and writing


class Preprocess:
    """Prepares uploads; what was prepared before is returned again."""

    path, request = "/preprocess", PreprocessRequest

    def __init__(self, settings: Settings, plugins: Plugins, objects: Objects, folder: Path):
        self._settings, self._plugins, self._objects, self._folder = settings, plugins, objects, folder

    def load(self) -> None:
        """Do nothing: the files of a model are copied when an upload needs them."""

    def handle(self, request: PreprocessRequest) -> PreprocessAnswer:
        """Return the shards of an upload, or "done" where its result is there already."""
        _check_name(request)
        reference = f"{request.work}inputs"
        done = read_result(self._objects, request.result, request.input, request.generation)
        try:
            prepared = self._prepared_before(reference, request)
        except Unreadable:  # a result needs its inputs no more
            if not done:
                raise
        if done:
            return PreprocessAnswer(status="done", result=request.result + RESULT)
        if not prepared:
            prepared = self._prepare(request)
            self._objects.write_once(reference, prepared[1])
        head, data = prepared
        self._plugins.named(head.model)  # as it is here now
        return PreprocessAnswer(
            status="ready",
            model=head.model,
            units=len(head.units),
            shards=shards_of(head, self._settings.timeout_seconds, self._settings.shard_units),
            inputs=reference,
            sha256=sha256_of(data),
            seed=head.seed,
        )

    def _prepared_before(self, reference: str, request: PreprocessRequest) -> tuple[InputsHead, bytes] | None:
        """Return the inputs of an earlier request for the same upload."""
        try:
            data = self._objects.read(reference)
        except MissingFile:
            return None
        head, _ = unpack(reference, data, InputsHead)
        asked = (request.input, request.generation, request.options)
        if (head.input, head.generation, head.options) != asked:
            raise Conflict(
                f"{reference} was made from another upload or with other options; use another work"
            )
        return head, data

    def _prepare(self, request: PreprocessRequest) -> tuple[InputsHead, bytes]:
        """Return the inputs, made now from the upload."""
        name = request.input.removeprefix("gs://").partition("/")[2]
        most_bytes = self._settings.most_upload_mib << 20
        content = self._objects.read_generation(request.input, request.generation, most_bytes)
        if not content:
            raise UserError(f"{name}: the file is empty")
        model = self._plugins.accepting(name, content[:HEAD_BYTES])
        seed = seed_of(request)
        files = model_files(self._settings, self._objects, self._folder, model.name)
        prepared = model.prepare(Upload(name, content, request.options), files, seed)
        if not prepared.units:
            raise UserError(f"{name}: there is nothing to predict in it")
        head = InputsHead(
            model=label_of(model),
            input=request.input,
            generation=request.generation,
            options=request.options,
            units=list(prepared.units),
            unit_seconds=prepared.unit_seconds,
            seed=seed if prepared.seed is None else prepared.seed,
        )
        return head, pack(head, prepared.content)


def _check_name(request: PreprocessRequest) -> None:
    """Refuse a name so long that the names of its result's files would be too long; none is written then."""
    folder = request.result.removeprefix("gs://").partition("/")[2]
    if len(folder.encode()) > MOST_NAME_BYTES:
        raise UserError(
            f"{excerpt(request.input, 80)}: the name is too long for those of its results, whose folder has "
            f"{len(folder.encode()):,} bytes and may have {MOST_NAME_BYTES}; shorten it"
        )


def seed_of(request: PreprocessRequest) -> int:
    """Return the seed in the options, else 32 bits of the SHA-256 of BUCKET/NAME#GENERATION."""
    if "seed" not in request.options:
        key = f"{request.input.removeprefix('gs://')}#{request.generation}"
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4])
    seed = request.options["seed"]
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise UserError(f"options.seed: {seed!r} is not a whole number from 0 to 2^63 - 1")
    return seed


def shards_of(head: InputsHead, timeout_seconds: int, most_units: int) -> list[ShardRange]:
    """Return as few shards as fit into a request each, of about the same size."""
    units = len(head.units)
    wanted = math.ceil(units * head.unit_seconds / (_USABLE * timeout_seconds))
    if most_units:
        wanted = max(wanted, math.ceil(units / most_units))
    shards = min(max(wanted, 1), units)
    starts = [index * units // shards for index in range(shards + 1)]
    return [
        ShardRange(index=index, first=first, count=after - first)
        for index, (first, after) in enumerate(pairwise(starts))
    ]
