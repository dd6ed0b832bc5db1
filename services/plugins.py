"""The models of MODELS: which one takes a file, which one a request names, and the files of each."""

import importlib
from collections.abc import Sequence
from pathlib import Path

from modeling.failures import UserError
from services.failures import Conflict, NotTheContract
from services.models import Model
from services.objects import Objects
from services.settings import Settings

_PARTS = ("name", "version", "formats", "accepts", "prepare", "load", "predict", "finish")


def load_plugins(listed: str) -> "Plugins":
    """Return the models that MODELS names: module:class of each, by commas.

    Raises
    ------
    UserError
        A module or class is not there, is not a model, or two have one name.
    """
    models = [_model(entry.strip()) for entry in listed.split(",") if entry.strip()]
    names = [model.name for model in models]
    if not models or len(set(names)) < len(names):
        raise UserError(f'MODELS="{listed}": name one model or several, each once; they are {names}')
    return Plugins(models)


def label_of(model: Model) -> str:
    """Return name@version, by which requests and results name a model."""
    return f"{model.name}@{model.version}"


class Plugins:
    """Some models, in the order in which they are asked whether they take a file."""

    def __init__(self, models: Sequence[Model]):
        self.models = tuple(models)
        self.labels = [label_of(model) for model in models]

    def accepting(self, name: str, head: bytes) -> Model:
        """Return the first model that takes a file.

        Raises
        ------
        UserError
            None does; the message says what each takes.
        """
        for model in self.models:
            if model.accepts(name, head):
                return model
        formats = "; ".join(f"{model.formats} ({model.name})" for model in self.models)
        raise UserError(f"{name}: no model takes this file; upload one of: {formats}")

    def named(self, label: str) -> Model:
        """Return the model with a name and version.

        Raises
        ------
        NotTheContract
            There is no model of this name.
        Conflict
            It has another version here.
        """
        if label in self.labels:
            return self.models[self.labels.index(label)]
        name = label.partition("@")[0]
        for model in self.models:
            if model.name == name:
                raise Conflict(f"the inputs are of {label}, this service has {label_of(model)}: upload again")
        message = f'this service has no model "{label}", only {", ".join(self.labels)}'
        raise NotTheContract(f"{message}; MODELS must name it here, too")


def model_files(settings: Settings, objects: Objects, folder: Path, model: str) -> Path:
    """Return a local copy of a model's files; an empty folder without a models bucket."""
    if settings.models_bucket:
        return objects.copy_folder(f"gs://{settings.models_bucket}/{model}/", folder / model)
    empty = folder / model
    empty.mkdir(parents=True, exist_ok=True)
    return empty


def _model(entry: str) -> Model:
    module_name, _, class_name = entry.partition(":")
    if not all(word.isidentifier() for word in [*module_name.split("."), class_name]):
        raise UserError(f'MODELS: "{entry}" is not module:class, such as services.models.sentiment:Sentiment')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(f'MODELS: "{entry}" cannot be imported: no module named {error.name}') from None
    made = getattr(module, class_name, None)
    if not callable(made):
        raise UserError(f'MODELS: "{entry}": the module has no class {class_name}')
    model = made()
    missing = [part for part in _PARTS if not hasattr(model, part)]
    if missing:
        raise UserError(f'MODELS: "{entry}" is not a model: {", ".join(missing)} is missing')
    return model
