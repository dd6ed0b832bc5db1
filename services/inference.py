"""POST /predict: predict the units of one shard, on the device of this instance."""

import logging
import time
from pathlib import Path

from modeling.failures import UserError
from pipeline.storage import MissingFile
from services.device import CPU, Device
from services.failures import Conflict, NotTheContract
from services.messages import FailedUnit, PredictAnswer, PredictRequest
from services.models import Model
from services.objects import Objects
from services.packets import ShardHead, pack, read_inputs, unpack
from services.plugins import Plugins, model_files
from services.settings import Settings, versions_of

log = logging.getLogger(__name__)


class Inference:
    """Predicts shards with models that are loaded once; a shard that exists is not predicted again."""

    path, request = "/predict", PredictRequest

    def __init__(self, settings: Settings, plugins: Plugins, objects: Objects, folder: Path, device: Device):
        self._settings, self._plugins, self._objects = settings, plugins, objects
        self._folder, self._device = folder, device
        self._device_names: dict[str, str] = {}  # by model
        self._versions: dict[str, dict[str, str]] = {}  # by model

    def load(self) -> None:
        """Load every model for the device.

        Raises
        ------
        UserError
            A model's files are wrong, or DEVICE is cuda and one cannot use the GPU.
        """
        for model in self._plugins.models:
            files = model_files(self._settings, self._objects, self._folder, model.name)
            kind = self._load(model, files)
            self._versions[model.name] = versions_of(self._settings) | self._version_of_files(files)
            self._device_names[model.name] = CPU.name if kind == CPU.kind else self._device.name

    def _load(self, model: Model, files: Path) -> str | None:
        """Load a model for the device; with DEVICE=auto, for the processor if it cannot use the GPU."""
        try:
            return model.load(files, self._device.kind)
        except UserError as reason:
            if not self._device.is_gpu or self._settings.device != "auto":
                raise
            log.warning("%s runs on the processor: %s", model.name, reason)
            model.load(files, CPU.kind)
            return CPU.kind

    @property
    def device(self) -> Device:
        """The device in use: the GPU, unless no model uses it."""
        return self._device if self._device.name in self._device_names.values() else CPU

    def _version_of_files(self, files: Path) -> dict[str, str]:
        """Return which state of a model's files in the models bucket was loaded."""
        return {"files": files.name} if self._settings.models_bucket else {}

    def handle(self, request: PredictRequest) -> PredictAnswer:
        """Return the outcome of a shard, which is predicted now or was before."""
        model = self._plugins.named(request.model)
        if there := self._there(request):
            return _answer(request, there, skipped=True)
        inputs, content = read_inputs(self._objects, request.inputs, request.sha256)
        if inputs.model != request.model or request.first + request.count > len(inputs.units):
            raise NotTheContract(
                f"the request asks for units {request.first} to {request.first + request.count - 1}"
                f" of {request.model}; the inputs have {len(inputs.units)} of {inputs.model}, counted from 0"
            )
        if request.seed != inputs.seed:
            raise NotTheContract(f"seed: {request.seed}; the inputs have {inputs.seed}")
        begun = time.monotonic()
        predicted = model.predict(content, request.first, request.count, request.seed)
        head = ShardHead(
            model=request.model,
            inputs=request.sha256,
            first=request.first,
            count=request.count,
            seed=request.seed,
            failed=dict(predicted.failed),
            seconds=round(time.monotonic() - begun, 3),
            device=self._device_names[model.name],
            versions=self._versions[model.name],
        )
        try:
            self._objects.write_once(request.out, pack(head, predicted.content))
        except Conflict:  # another request for this shard, whose caller gave up, was first
            there = self._there(request)
            if not there:
                raise
            return _answer(request, there, skipped=True)
        return _answer(request, head, skipped=False)

    def _there(self, request: PredictRequest) -> ShardHead | None:
        """Return the head of the shard if it exists.

        Raises
        ------
        Conflict
            It was made from other inputs, or has other units.
        """
        try:
            data = self._objects.read(request.out)
        except MissingFile:
            return None
        head, _ = unpack(request.out, data, ShardHead)
        made_of = (head.model, head.inputs, head.first, head.count, head.seed)
        if made_of != (request.model, request.sha256, request.first, request.count, request.seed):
            raise Conflict(
                f"{request.out} has the result of other inputs, units or another seed; upload again"
            )
        return head


def _answer(request: PredictRequest, head: ShardHead, skipped: bool) -> PredictAnswer:
    failed = [FailedUnit(unit=unit, reason=reason) for unit, reason in head.failed.items()]
    return PredictAnswer(
        out=request.out,
        units=head.count,
        failed=failed,
        seconds=head.seconds,
        device=head.device,
        skipped=skipped,
    )
