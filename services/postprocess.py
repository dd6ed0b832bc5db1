"""POST /postprocess: make the files for people from all shards; result.json is the last of them."""

import tempfile
import time
from pathlib import Path

from modeling.failures import TemporaryFault, UserError
from services.failures import Conflict, NotTheContract
from services.messages import RESULT, FailedUnit, PostprocessAnswer, PostprocessRequest
from services.models import Finished, Predicted
from services.objects import Objects, sha256_of
from services.packets import InputsHead, ShardHead, read_inputs, unpack
from services.plugins import Plugins
from services.results import Result, read_result
from services.settings import Settings, versions_of


class Postprocess:
    """Finishes results; one that is complete is returned again."""

    path, request = "/postprocess", PostprocessRequest

    def __init__(self, settings: Settings, plugins: Plugins, objects: Objects, folder: Path):
        self._settings, self._plugins, self._objects, self._folder = settings, plugins, objects, folder

    def load(self) -> None:
        """Do nothing: finishing needs no files of a model."""

    def handle(self, request: PostprocessRequest) -> PostprocessAnswer:
        """Return the files of a result, written now or before."""
        if there := self._there(request):
            return _answer(request, there)
        begun = time.monotonic()
        model = self._plugins.named(request.model)
        inputs, content = self._inputs(request)
        shards = self._shards(request, inputs)
        failed = _failed(inputs, shards)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            predicted = [Predicted(data, head.failed) for head, data in shards]
            finished = model.finish(content, predicted, Path(folder))
            files = self._write(request, finished)
        heads = [head for head, _ in shards]
        result = Result(
            model=request.model,
            input=request.input,
            generation=request.generation,
            inputs_sha256=request.sha256,
            seed=inputs.seed,
            units=len(inputs.units),
            failed=failed,
            summary=dict(finished.summary),
            files=files,
            device=", ".join(sorted({head.device for head in heads})),
            seconds={
                "predict": round(sum(head.seconds for head in heads), 3),
                "postprocess": round(time.monotonic() - begun, 3),
            },
            versions={"inference": _versions(shards), "postprocess": versions_of(self._settings)},
        )
        return _answer(request, self._save(request, result))

    def _save(self, request: PostprocessRequest, result: Result) -> Result:
        """Write result.json; return the one that is there then."""
        try:
            self._objects.write_once(request.result + RESULT, result.model_dump_json(indent=2).encode())
        except Conflict:  # another request for this result, whose caller gave up, was first
            there = self._there(request)
            if there is None:
                raise TemporaryFault(
                    f"{request.result}{RESULT} was removed while it was written; ask again"
                ) from None
            return there
        return result

    def _inputs(self, request: PostprocessRequest) -> tuple[InputsHead, bytes]:
        """Return the inputs, which must be those of the upload that the request names."""
        inputs, content = read_inputs(self._objects, request.inputs, request.sha256)
        made_of = (inputs.model, inputs.input, inputs.generation)
        if made_of != (request.model, request.input, request.generation):
            raise NotTheContract(f"{request.inputs} was made from another upload, or by another model")
        return inputs, content

    def _there(self, request: PostprocessRequest) -> Result | None:
        """Return the result if it is complete."""
        result = read_result(self._objects, request.result, request.input, request.generation)
        if result is None:
            return None
        if (result.inputs_sha256, result.model) != (request.sha256, request.model):
            reference = request.result + RESULT
            raise Conflict(f"{reference} is a result of other inputs; delete its folder, or upload again")
        return result

    def _shards(self, request: PostprocessRequest, inputs: InputsHead) -> list[tuple[ShardHead, bytes]]:
        """Return the shards in the order of their units, each unit in one of them."""
        read = [unpack(each, self._objects.read(each), ShardHead) for each in request.shards]
        shards = sorted(read, key=lambda shard: shard[0].first)
        if any((head.inputs, head.model) != (request.sha256, request.model) for head, _ in shards):
            raise Conflict("a shard was made from other inputs; upload the file again")
        following = 0
        for head, _ in shards:
            if head.first != following:
                break
            following += head.count
        if following != len(inputs.units) or shards[-1][0].first + shards[-1][0].count != following:
            raise NotTheContract(f"the shards have not each of {len(inputs.units)} units once")
        return shards

    def _write(self, request: PostprocessRequest, finished: Finished) -> dict[str, str]:
        """Write the files below the result's folder, and return the digest of each."""
        digests = {}
        for name, content in sorted(finished.files.items()):
            if name == RESULT:
                raise ValueError(f"{RESULT} is written by the service, not by a model")
            self._objects.write_once(request.result + name, content)
            digests[name] = sha256_of(content)
        return digests


def _failed(inputs: InputsHead, shards: list[tuple[ShardHead, bytes]]) -> list[FailedUnit]:
    """Return the units without a result; all of them are a mistake in the upload."""
    failed = [FailedUnit(unit=unit, reason=text) for head, _ in shards for unit, text in head.failed.items()]
    if len(failed) >= len(inputs.units):
        raise UserError(f"no unit has a result; {failed[0].unit}: {failed[0].reason}")
    return failed


def _versions(shards: list[tuple[ShardHead, bytes]]) -> dict[str, str]:
    """Return the versions that the shards were made with; of a thing with several versions all of them."""
    names = dict.fromkeys(name for head, _ in shards for name in head.versions)
    return {
        name: ", ".join(sorted({head.versions.get(name, "none") for head, _ in shards})) for name in names
    }


def _answer(request: PostprocessRequest, result: Result) -> PostprocessAnswer:
    return PostprocessAnswer(
        result=request.result + RESULT,
        files=result.files,
        summary=result.summary,
        units=result.units,
        failed=result.failed,
    )
