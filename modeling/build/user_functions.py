"""Functions of the experiment's author, read from its scripts as text and checked; nothing runs here."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from modeling.build.csv_table import find_file
from modeling.failures import UserError, did_you_mean
from modeling.plain_text import excerpt
from modeling.vocabulary import user_function as vocabulary
from modeling.vocabulary.experiment import Experiment
from modeling.workload import UserFunction

MOST_CHARACTERS = 100_000  # of a script, which every input carries
DISTANCE = ("modelset", "calibration", "distance_function")

Function = ast.FunctionDef


def refuse_functions(experiment: Experiment) -> None:
    """Refuse an experiment with functions of its author, where they may not run."""
    calibration = experiment.calibration
    if calibration is not None and isinstance(calibration.distance_function, vocabulary.UserFunction):
        raise UserError(
            f"{experiment.where(*DISTANCE)}: functions of your own do not run where the experiment is only "
            "uploaded; name its repository in GITHUB_FORECAST_REPO, or set ALLOW_USER_FUNCTIONS=true"
        )


def read_distance(given: vocabulary.UserFunction, roots: list[Path], where: str) -> UserFunction:
    """Return a distance function, which takes `data` and `simulation` by name, as epydemix calls it.

    Parameters
    ----------
    roots : list of Path
        Folders of the forecasting repository that the path is relative to; the first holds the others.
    where : str
        "file:line" of what names the function.

    Raises
    ------
    UserError
        The script cannot be read, is not Python, imports what a runner lacks, or has no such function.
    """
    found, function = _read(given, roots, where)
    arguments = function.args
    names = {each.arg for each in (*arguments.args, *arguments.kwonlyargs)}
    left_out = {"data", "simulation"} - (names if not arguments.kwarg else {"data", "simulation"})
    if left_out or _required(function) - {"data", "simulation"}:
        raise UserError(
            f"{_place(given, function)}: {function.name}({ast.unparse(arguments)}) is called with the "
            f"arguments data and simulation; write def {function.name}(data, simulation)"
        )
    return found


def _read(given: vocabulary.UserFunction, roots: list[Path], where: str) -> tuple[UserFunction, Function]:
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
    return UserFunction(given.user_script_path, given.user_function_name, source), _function(
        tree, given, where
    )


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
        raise UserError(f"{where}: {script} is not valid Python: {excerpt(str(error), 80)}") from None


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


def _function(tree: ast.Module, given: vocabulary.UserFunction, where: str) -> Function:
    """Return the definition of the named function; the last counts, as in Python."""
    defined = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}
    name = given.user_function_name
    if name not in defined:
        raise UserError(
            f"{where}: {given.user_script_path} does not define a function {name}"
            f"{did_you_mean(name, defined)}; write def {name}(...) at the start of a line"
        )
    return defined[name]


def _required(function: Function) -> set[str]:
    """Return the names of the arguments without a default."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {each.arg for each in required} | {each.arg for each, default in keywords if default is None}


def _place(given: vocabulary.UserFunction, function: Function) -> str:
    return f"{given.user_script_path}:{function.lineno}"
