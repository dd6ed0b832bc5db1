"""Functions of the experiment's author, read from its scripts as text and checked; nothing runs here."""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from modeling.build.csv_table import find_file
from modeling.build.warnings import warn_once
from modeling.failures import UserError, did_you_mean
from modeling.plain_text import excerpt
from modeling.vocabulary import user_function as vocabulary
from modeling.vocabulary.base import Location
from modeling.vocabulary.experiment import Experiment
from modeling.workload import UserFunction

MOST_CHARACTERS = 100_000  # of a script, which every input carries
DISTANCE = ("modelset", "calibration", "distance_function")
TRANSFORMATION = ("modelset", "calibration", "post_hoc_transformation")


def refuse_functions(experiment: Experiment) -> None:
    """Refuse an experiment with functions of its author, where they may not run."""
    for at in _places(experiment):
        raise UserError(
            f"{experiment.where(*at)}: functions of your own do not run where the experiment is only "
            "uploaded; name its repository in GITHUB_FORECAST_REPO, or set ALLOW_USER_FUNCTIONS=true"
        )


def has_functions(experiment: Experiment) -> bool:
    """Return whether an experiment has functions of its author."""
    return bool(_places(experiment))


def _places(experiment: Experiment) -> list[tuple[str, ...]]:
    """Return the keys that hold functions of the author."""
    return [
        at
        for at in (DISTANCE, TRANSFORMATION)
        if isinstance(getattr(experiment.calibration, at[-1], None), vocabulary.UserFunction)
    ]


def read_distance(experiment: Experiment, roots: list[Path]) -> str | UserFunction:
    """Return the distance of a calibration: the name of a metric, or a function.

    A function takes `data` and `simulation` by name, as epydemix calls it.

    Parameters
    ----------
    roots : list of Path
        Folders of the forecasting repository that the path is relative to; the first holds the others.

    Raises
    ------
    UserError
        The script cannot be read, is not Python, imports what no runner has, or has no such function.
    """
    given = experiment.calibration.distance_function
    if isinstance(given, str):
        return given
    script = _read(given, roots, experiment.where(*DISTANCE))
    names = _by_name(script.definition)
    if not {"data", "simulation"} <= names.taken or names.required - {"data", "simulation"}:
        raise UserError(
            f"{script.signature} is called with the arguments data and simulation; "
            f"write def {given.user_function_name}(data, simulation)"
        )
    return script.function


def read_transformation(experiment: Experiment, roots: list[Path]) -> UserFunction | None:
    """Return the function that changes trajectories, which takes one, and may take `context` by name.

    Raises
    ------
    UserError
        As read_distance.
    """
    given = experiment.calibration.post_hoc_transformation
    if given is None:
        return None
    script = _read(given, roots, experiment.where(*TRANSFORMATION))
    arguments = script.definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first = {positional[0].arg} if positional else set()
    if not (first or arguments.vararg) or _by_name(script.definition).required - first - {"context"}:
        raise UserError(
            f"{script.signature} is called with a trajectory, and context if it takes that; "
            f"write def {given.user_function_name}(trajectory, context=None)"
        )
    for kind, at, name in _other_names(experiment):
        if name not in script.function.source:
            warn_once(
                f'{experiment.where(kind, *at)}: "{name}" is no series of the model, and '
                f"{given.user_script_path} does not mention it"
            )
    return script.function


def _other_names(experiment: Experiment) -> Iterator[tuple[str, Location, str]]:
    """Yield names of series that the model does not have, which a function may add, and their places."""
    model, output = experiment.model, experiment.output
    names = (*model.compartment_ids, *model.transition_names)
    known = {f"{name}_{group}" for name in names for group in (*model.population.age_groups, "total")}
    used = [
        ("modelset", ("calibration", "comparison", index, "simulation"), comparison.simulation)
        for index, comparison in enumerate(experiment.calibration.comparison)
    ]
    for section in ("quantiles", "trajectories"):
        for field in ("compartments", "transitions"):
            used.append(("output", (section, field), getattr(getattr(output, section), field, None)))
    for kind, at, chosen in used:
        names = chosen if isinstance(chosen, list) else []
        yield from ((kind, at, name) for name in names if name not in known)


@dataclass(frozen=True)
class _Script:
    """A function with its definition, parsed."""

    function: UserFunction
    definition: ast.FunctionDef

    @property
    def signature(self) -> str:
        """Place, name and arguments of the function, for messages."""
        arguments = ast.unparse(self.definition.args)
        return f"{self.function.script}:{self.definition.lineno}: {self.function.name}({arguments})"


def _read(given: vocabulary.UserFunction, roots: list[Path], where: str) -> _Script:
    path = find_file(given.user_script_path, roots, where)
    if not path.resolve().is_relative_to(roots[0].resolve()):
        raise UserError(
            f"{where}: {given.user_script_path} is a link that leads out of the forecasting repository; "
            "replace it with the file"
        )
    source = _source(path, where)
    tree = _tree(source, given.user_script_path, where)
    for line, name in _foreign_imports(tree, roots[0]):
        raise UserError(
            f'{given.user_script_path}:{line}: imports "{name}", which is not an installed package; other '
            "files of the repository do not travel with a script, so put what you need into it"
        )
    found = UserFunction(given.user_script_path, given.user_function_name, source)
    return _Script(found, _definition(tree, given, where))


def _source(path: Path, where: str) -> str:
    """Return the text of a script."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            source = file.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise UserError(f"{where}: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{where}: {path} is not text in UTF-8; save it as UTF-8") from None
    if len(source) > MOST_CHARACTERS:
        raise UserError(
            f"{where}: {path} has more than {MOST_CHARACTERS:,} characters; keep only what the function needs"
        )
    return source


def _tree(source: str, script: str, where: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise UserError(f"{script}:{error.lineno or 1}: not valid Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL, or expressions without end
        reason = str(error) or "it is nested too deeply"  # a MemoryError has no text
        raise UserError(f"{where}: {script} is not valid Python: {excerpt(reason, 80)}") from None


def _foreign_imports(tree: ast.Module, repository: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each module that the script imports at its start and a runner does not have."""
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.level:
            yield statement.lineno, "." * statement.level + (statement.module or "")
        elif isinstance(statement, ast.ImportFrom):
            if not _is_installed(statement.module, repository):
                yield statement.lineno, statement.module
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                if not _is_installed(alias.name, repository):
                    yield statement.lineno, alias.name


def _is_installed(module: str, repository: Path) -> bool:
    """Return whether a module's package is installed outside the repository; nothing is imported."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    # a folder without __init__.py, such as data/ in the working directory, is no package to rely on
    return spec.origin is not None and not Path(spec.origin).is_relative_to(repository.resolve())


def _definition(tree: ast.Module, given: vocabulary.UserFunction, where: str) -> ast.FunctionDef:
    """Return the definition of the named function; the last counts, as in Python."""
    defined = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}
    name = given.user_function_name
    if name not in defined:
        raise UserError(
            f"{where}: {given.user_script_path} does not define a function {name}"
            f"{did_you_mean(name, defined)}; write def {name}(...) at the start of a line"
        )
    return defined[name]


class _Names(NamedTuple):
    """Arguments of a function: those that can be given by name, and those without a default."""

    taken: set[str]
    required: set[str]


def _by_name(function: ast.FunctionDef) -> _Names:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required += [each for each, default in keywords if default is None]
    taken = {each.arg for each in (*arguments.args, *arguments.kwonlyargs)}
    if arguments.kwarg:
        taken |= {"data", "simulation"} - {each.arg for each in arguments.posonlyargs}
    return _Names(taken, {each.arg for each in required})
