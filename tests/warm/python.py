"""Serves the stage scripts, invoke, and emulators of the tests, with the Python of the tests: see forks.py.

Everything else is run by the Python itself, and so is what would differ in a fork: a call on a terminal, one
with variables that Python reads as it starts, one with a module on PYTHONPATH that hides a loaded one, and an
emulator that does not end with the tests.
"""

import importlib
import os
import pkgutil
import runpy
import socket
import sys
import types
import warnings
from pathlib import Path

import forks

REPOSITORY = Path(__file__).resolve().parents[2]
_SERVER, _TESTS = os.getpid(), os.getppid()  # this process, and the one that runs the tests
OURS = ("tasks", "ops", "modeling", "pipeline", "localcloud")
KNOWN = {"PYTHON", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
# what is imported late, by functions, besides all modules of these packages
SCRIPTS = ("pipeline", "modeling", "scipy.stats", "matplotlib.backends.backend_agg", "google.cloud.storage")
INVOKE = ("invoke.main", "ops")
# all that localcloud.__main__ imports, which is itself not imported: runpy warns of that
EMULATOR = ("localcloud.arguments", "localcloud.cloud", "localcloud.environment", "urllib.request")
LOADED = {"invoke": INVOKE, "localcloud": EMULATOR}  # by target; scripts are all others


class Python(forks.Program):
    def __init__(self, executable: str):
        self.executable = executable
        self.loaded = set()
        self.path = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).parent]

    def is_taken(self, call: dict) -> bool:
        environment = call["environment"]
        read_at_start = {name for name in environment if name.startswith("PYTHON")} - KNOWN
        if call["is_terminal"] or read_at_start or _target(call)[0] is None:
            return False
        if not all(_is_utf8(environment.get(name, "")) for name in ("LC_ALL", "LC_CTYPE", "LANG")):
            return False
        return not any(_hides(folder) for folder in _python_path(call))

    def load(self, call: dict) -> None:
        for name in LOADED.get(_target(call)[0], SCRIPTS):
            if name not in self.loaded:
                self.loaded.add(name)
                sys.path[:] = [*self.path, str(REPOSITORY), str(REPOSITORY / "scripts")]
                _import_all(name)

    def run(self, call: dict) -> None:
        target, root, arguments = _target(call)
        if root != REPOSITORY:
            for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
                del sys.modules[name]
        sys.executable, sys.dont_write_bytecode = self.executable, "PYTHONDONTWRITEBYTECODE" in os.environ
        first = os.getcwd() if target in LOADED else str(Path(target).resolve().parent)
        sys.path[:] = [first, *_python_path(call), *self.path]
        importlib.invalidate_caches()
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()
        if "sitecustomize" in {
            name.stem for folder in _python_path(call) for name in Path(folder).glob("*.py")
        }:
            sys.modules.pop("sitecustomize", None)
            importlib.import_module("sitecustomize")
        sys.argv = [target, *arguments]
        if target in LOADED:
            runpy.run_module(target, run_name="__main__", alter_sys=True)
            return
        if root == REPOSITORY:
            sys.path.append(str(REPOSITORY))  # as pipeline does, where it is not loaded yet
        _run_script(os.path.abspath(target))


def _target(call: dict) -> tuple[str | None, Path, list[str]]:
    """Return the script of a call, "invoke" or "localcloud"; the checkout it is in; and its arguments."""
    words = call["arguments"][1:] if call["arguments"][:1] == ["-u"] else call["arguments"]
    folder = Path(call["folder"])
    if words[:3] == ["-m", "invoke", "--search-root"]:
        return "invoke", (folder / words[3]).resolve(), words[2:]
    if words[:2] == ["-m", "localcloud"] and words[-2:] == ["--with-parent", str(_TESTS)] and _is_ours(call):
        # the parent of a fork is the server, which ends with the tests
        return "localcloud", REPOSITORY, [*words[2:-1], str(_SERVER)]
    if words and words[0].endswith(".py"):
        script = (folder / words[0]).resolve()
        if script.parent.name == "scripts" and script.is_file():
            return words[0], script.parents[1], words[1:]
    return None, folder, []


def _is_ours(call: dict) -> bool:
    """Tell whether a call finds the localcloud that is loaded, and not one of another checkout."""
    folders = [call["folder"], *_python_path(call)]
    found = next((folder for folder in folders if Path(folder, "localcloud").is_dir()), "")
    return Path(found).resolve() == REPOSITORY


def _python_path(call: dict) -> list[str]:
    path = call["environment"].get("PYTHONPATH", "")
    return [str(Path(call["folder"]) / folder) for folder in path.split(os.pathsep)] if path else []


def _hides(folder: str) -> bool:
    """Tell whether a folder on PYTHONPATH has a module that Python would take in place of a loaded one."""
    if Path(folder).resolve() in (REPOSITORY, REPOSITORY / "scripts") or not Path(folder).is_dir():
        return False
    return any(name.split(".")[0] in sys.modules for name in os.listdir(folder) if name != "sitecustomize.py")


def _is_utf8(locale: str) -> bool:
    return locale in ("", "C", "POSIX") or locale.upper().endswith(("UTF-8", "UTF8"))


def _import_all(name: str) -> None:
    """Import a module, and all below it where it is a package of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = [name]
        if name in OURS:
            package = importlib.import_module(name)
            names = [
                each.name for each in pkgutil.walk_packages(package.__path__, f"{name}.", lambda _: None)
            ]
        for each in names:
            try:
                importlib.import_module(each)
            except Exception:
                sys.modules.pop(each, None)  # whoever needs it is told


def _run_script(path: str) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    exec(compile(Path(path).read_bytes(), path, "exec"), main.__dict__)


if __name__ == "__main__":
    forks.serve(Python(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
