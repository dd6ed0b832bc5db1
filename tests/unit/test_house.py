"""The rules of the house: who may import whom, how long a file may be. docs/architecture.md has the reasons.

Files are parsed, never imported, so a rule holds for imports inside functions and under TYPE_CHECKING too.
"""

import ast
import graphlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.experiments import REPOSITORY

EXPLAINED = "docs/architecture.md explains the rule"
FOLDERS = ("ops", "modeling", "scripts", "services", "localcloud", "tests", "benchmarks", "examples")

# Rooms from the ground up. A room imports itself and the rows before its own, so rooms of one row do not know
# each other. A file that is named in no room belongs to the room "..."; a folder must be named.
OPS = [
    {"ground": {"failures", "terminal", "polling", "shell", "names", "stages"}},
    {"settings": {"..."}},
    {"cloud": {"cloud"}},
    {"project": {"project"}, "laptop": {"laptop"}},
    {"watching": {"watching"}, "costs": {"costs"}, "images": {"images"}, "data": {"data"}},
    {"runs": {"runs"}, "gpu": {"gpu"}},
    {"jobs": {"jobs"}, "rehearsal": {"rehearsal"}},
    {"tasks": {"tasks"}},
]
MODELING = [
    {"ground": {"..."}},
    {"vocabulary": {"vocabulary"}},
    {"populations": {"populations"}},
    {"build": {"build"}, "engine": {"engine"}, "forecast": {"forecast"}, "outputs": {"outputs"}},
    {"simulate": {"simulate"}, "evaluation": {"evaluation"}},
    {"suites": {"suites", "epymodelingsuite_adapter"}},
]
SCRIPTS = [{"pipeline": {"pipeline"}}, {"scripts": {"..."}}]
ORDERS = {"ops": OPS, "modeling": MODELING, "scripts": SCRIPTS}
# A runner needs neither the YAML schema nor the population data: its input holds everything.
NEVER = {
    *(("simulate", room) for room in ("vocabulary", "populations", "build", "outputs")),
    *((first, room) for first in ("engine", "forecast") for room in ("vocabulary", "populations")),
}

# What a folder may import of the other folders: whole folders, or rooms of them.
FOREIGN = {
    "ops": {"modeling ground"},
    "ops rehearsal": {"modeling ground", "localcloud"},
    "modeling": set(),
    "scripts": {"modeling"},
    "services": {"modeling", "scripts"},
    "localcloud": set(),
    "examples": {"modeling"},
    "benchmarks": {"ops", "modeling", "scripts", "localcloud"},
    "tests": {"ops", "modeling", "scripts", "services", "localcloud", "benchmarks", "tasks"},
    "tasks": {"ops tasks"},
}

MOST_LINES, LEAST_LINES = 400, 30
LONG = {  # and why, where a longer one reads better
    "modeling/workload.py": "the records' module is part of their names in files, so none can move",
}
SHORT = {
    "tasks.py": "invoke looks for it here; the tasks are in ops/tasks/",
    "ops/failures.py": "the error that every module of ops raises",
    "ops/stages.py": "the names and letters of the stages, which the ground may not take from settings",
    "modeling/cache_folder.py": "the one place that says where a person's cache is",
    "modeling/bounds.py": "the bounds of numbers, for modeling, ops and scripts alike",
    "modeling/refusals.py": "what a refusal says, for ops and scripts alike",
    "modeling/threads.py": "how many threads, for modeling, ops and scripts alike",
    "modeling/randomness.py": "the one place that makes a random generator",
    "scripts/pack_forecast.py": "a door: run_builder.sh starts it",
}
MOST_PARAMETERS = 15  # of a task


def module_name(path: Path) -> str:
    """Name by which a file is imported; scripts/ is on the path itself."""
    parts = path.with_suffix("").parts
    parts = parts[1:] if parts[0] == "scripts" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class House:
    """The Python files below a root, and which of them each one imports."""

    def __init__(self, root: Path):
        found = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
        found += sorted(root.glob("*.py"))
        self.paths = {module_name(path.relative_to(root)): path.relative_to(root) for path in found}
        self.texts = {name: (root / path).read_text(encoding="utf-8") for name, path in self.paths.items()}
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}
        self.imports = {name: set(self._imports(name)) for name in self.paths}

    def _imports(self, importer: str) -> Iterator[str]:
        for node in _statements(self.trees[importer]):
            for name in _names(node, importer, self.paths[importer].name == "__init__.py"):
                while name and name not in self.paths:  # a class or a function of a module
                    name = name.rpartition(".")[0]
                if name and name != importer:
                    yield name

    def folder(self, name: str) -> str:
        path = self.paths[name]
        return path.parts[0] if len(path.parts) > 1 else path.stem

    def room(self, name: str) -> tuple[int, str]:
        """Row of a module's room, counted from the ground, and the room's name."""
        parts = name.split(".")
        inside = parts[0] if self.folder(name) == "scripts" else ".".join(parts[1:2])
        rows = ORDERS.get(self.folder(name), [{self.folder(name): {"..."}}])
        rooms = [(row, room, names) for row, level in enumerate(rows) for room, names in level.items()]
        own = [(row, room) for row, room, names in rooms if inside in names]
        return own[0] if own else next((row, room) for row, room, names in rooms if "..." in names)

    def folders_without_room(self) -> list[str]:
        """Return the folders, one level down, that no room of their order names."""
        inner = {path.parts[:2] for path in self.paths.values() if len(path.parts) > 2}
        named = {
            top: {name for row in rows for names in row.values() for name in names}
            for top, rows in ORDERS.items()
        }
        return sorted("/".join(each) for each in inner if each[0] in named and each[1] not in named[each[0]])

    def broken_imports(self) -> list[str]:
        """One line for each import against the order."""
        pairs = [(a, b) for a in sorted(self.imports) for b in sorted(self.imports[a])]
        return [f"{self.paths[a]} imports {b}: {reason}" for a, b in pairs if (reason := self._reason(a, b))]

    def _reason(self, importer: str, imported: str) -> str:
        ours, theirs = self.folder(importer), self.folder(imported)
        (row, room), (other_row, other_room) = self.room(importer), self.room(imported)
        if ours != theirs:
            allowed = FOREIGN.get(f"{ours} {room}", FOREIGN.get(ours, set()))
            known = {theirs, f"{theirs} {other_room}"} & allowed
            return "" if known else f"{ours} ({room}) may not import {theirs} ({other_room})"
        if (room, other_room) in NEVER:
            return f"{room} never imports {other_room}"
        if room == other_room or other_row < row:
            return ""
        return f"{other_room} is not below {room}"


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement in a tree, however deep; imports are statements, so expressions are skipped."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from _statements(child)


def _names(node: ast.AST, importer: str, is_package: bool) -> list[str]:
    """Full names in an import statement; none in another node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    above = importer.split(".")[: (is_package - node.level) or None]
    base = [*(above if node.level else []), *([node.module] if node.module else [])]
    return [".".join([*base, alias.name]) for alias in node.names]


@cache
def house() -> House:
    return House(REPOSITORY)


def circle(imports: dict[str, Iterable[str]]) -> list[str]:
    """A circle of modules that import one another; none when there is no circle."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1][::-1]
    return []


def by_package(imports: dict[str, Iterable[str]]) -> dict[str, set[str]]:
    """Imports of packages one level down, such as localcloud.rights; a module beside them counts as one."""
    found: dict[str, set[str]] = {}
    for name, others in imports.items():
        package, *imported = (".".join(each.split(".")[:2]) for each in (name, *others))
        found.setdefault(package, set()).update({*imported} - {package})
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_modules_and_no_packages_import_one_another_in_a_circle(folder):
    inside = {name for name in house().paths if house().folder(name) == folder}
    imports = {name: house().imports[name] & inside for name in inside}

    found = circle(imports) or circle(by_package(imports))

    assert not found, f"{' -> '.join(found)}; {EXPLAINED}"


def test_imports_run_one_way():
    broken = house().broken_imports()

    assert not broken, "\n".join([*broken, EXPLAINED])


def test_every_folder_has_a_room():
    found = house().folders_without_room()

    assert not found, f"{found}: name a room in ORDERS; {EXPLAINED}"


def test_every_python_file_is_in_a_folder_that_is_checked():
    skipped = {"local", "terraform"}  # runs, and what terraform downloads
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir() and path.name[0] not in "._"}

    unchecked = [
        each for each in sorted(folders - {*FOLDERS, *skipped}) if any((REPOSITORY / each).rglob("*.py"))
    ]

    assert not unchecked, f"{unchecked}: add them to FOLDERS; {EXPLAINED}"


def test_no_test_file_imports_a_test_file_or_a_conftest():
    def is_of_pytest(name: str) -> bool:
        return re.fullmatch(r"test_.*|conftest", name.rpartition(".")[2]) is not None

    tests = [name for name in sorted(house().paths) if house().folder(name) == "tests"]

    found = [f"{house().paths[a]} imports {b}" for a in tests for b in house().imports[a] if is_of_pytest(b)]

    assert tests
    assert not found, f"{found}; move what they share into a module of tests/ that is named by what it holds"


def test_no_file_holds_more_than_one_concept():
    sizes = {name: len(text.splitlines()) for name, text in house().texts.items()}
    long = {str(house().paths[name]) for name, lines in sizes.items() if lines > MOST_LINES}

    assert long == set(LONG), f"over {MOST_LINES} lines, or no longer over: {long ^ set(LONG)}; {EXPLAINED}"


def test_a_file_of_a_few_lines_has_a_reason():
    skipped = {name for name in house().paths if house().folder(name) == "tests"}
    skipped |= {name for name, path in house().paths.items() if path.name == "__init__.py"}
    sizes = {name: len(text.splitlines()) for name, text in house().texts.items() if name not in skipped}
    short = {str(house().paths[name]) for name, lines in sizes.items() if lines < LEAST_LINES}

    assert short == set(SHORT), (
        f"under {LEAST_LINES} lines, or no longer: {short ^ set(SHORT)}; merge, or give a reason in SHORT"
    )


def test_what_belongs_together_travels_together_in_ops():
    modules = [name for name in house().paths if house().folder(name) == "ops"]
    nodes = [node for name in modules for node in ast.walk(house().trees[name])]
    others = [  # Shell itself decides what a dry run skips
        node for name in modules if name != "ops.shell" for node in ast.walk(house().trees[name])
    ]

    by_hand = [node.name for node in nodes if _parameters(node)[:2] == ["shell", "settings"]]
    dry_runs = [node.lineno for node in others if isinstance(node, ast.Attribute) and node.attr == "dry_run"]
    needs = [node.lineno for node in nodes if isinstance(node, ast.Call) and _called(node) == "need"]

    counts = {"(shell, settings": len(by_hand), ".dry_run": len(dry_runs), "need(": len(needs)}
    bounds = {"(shell, settings": 40, ".dry_run": 25, "need(": 10}
    over = [
        f"{counts[what]} x {what}, not under {bound}"
        for what, bound in bounds.items()
        if counts[what] >= bound
    ]
    assert not over, f"{'; '.join(over)}; pass a Cloud instead: {EXPLAINED}"


def test_a_task_has_few_parameters():
    tasks = [
        node
        for name in house().paths
        if house().room(name)[1] == "tasks"
        for node in house().trees[name].body
    ]

    crowded = [node.name for node in tasks if len(_parameters(node)) > MOST_PARAMETERS]

    assert tasks
    assert not crowded, (
        f"over {MOST_PARAMETERS} parameters: {crowded}; a setting is chosen by --set; {EXPLAINED}"
    )


@pytest.mark.parametrize("page", ["CONTRIBUTING", "docs/architecture", "docs/engine", "docs/gpu"])
def test_the_pages_on_the_house_name_what_is_there(page):
    text = (REPOSITORY / f"{page}.md").read_text(encoding="utf-8")
    code = re.findall("`([^`\n]+)`", text)
    named = {each for each in code if re.fullmatch(r"[\w./-]+\.(py|sh|tf|yaml)", each)}
    named |= {each for each in code if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w/]*", each)}
    named |= set(re.findall(r"(?<![\w./])(?:benchmarks|scripts|tests)/[\w./]+\.(?:py|sh)", " ".join(code)))
    there = [path for folder in (*FOLDERS, "terraform") for path in (REPOSITORY / folder).rglob("*")]
    there += [REPOSITORY / folder for folder in FOLDERS] + list(REPOSITORY.glob("*"))
    defined = {getattr(node, "name", "") for tree in house().trees.values() for node in ast.walk(tree)}

    missing = {
        each for each in named if not any(f"/{path}".endswith(f"/{each.rstrip('/')}") for path in there)
    }
    missing |= {f"{each}()" for each in re.findall(r"(\w+)\(\)`", text) if each not in defined}
    for function, path in re.findall(r"`(\w+)\(\)`\s(?:in|of)\s`([\w/]+/\w+\.py)`", text):
        texts = [each.read_text("utf-8") for each in there if f"/{each}".endswith(f"/{path}")]
        if not any(re.search(rf"^ *def {function}\(", each, re.MULTILINE) for each in texts):
            missing.add(f"{function}() of {path}")
    links = [link for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", text) if link]
    missing |= {link for link in links if not ((REPOSITORY / page).parent / link).exists()}

    assert named
    assert not missing


def _parameters(node: ast.AST) -> list[str]:
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return (
        [each.arg for each in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
        if is_function
        else []
    )


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"ops/names.py": "from ops import settings"}, "settings is not below ground"),
        ({"ops/watching/logs.py": "import ops.costs.report"}, "costs is not below watching"),
        ({"ops/cloud/jobs.py": "def f():\n    from ops.runs import start"}, "runs is not below cloud"),
        (
            {"ops/settings.py": "from modeling.build import plan"},
            "ops (settings) may not import modeling (build)",
        ),
        ({"ops/runs/start.py": "from localcloud import cloud"}, "ops (runs) may not import localcloud"),
        ({"modeling/simulate/run.py": "from ..vocabulary import model"}, "simulate never imports vocabulary"),
        ({"modeling/build/plan.py": "from ..vocabulary import model"}, ""),
        ({"modeling/vocabulary/model.py": "from ..build.plan import x"}, "build is not below vocabulary"),
        ({"modeling/build/plan.py": "from modeling.outputs import tables"}, "outputs is not below build"),
        ({"modeling/dates.py": "from ops import names"}, "modeling (ground) may not import ops (ground)"),
        ({"scripts/pipeline/logs.py": "import main_builder"}, "scripts is not below pipeline"),
        (
            {"scripts/main_builder.py": "from ops import names"},
            "scripts (scripts) may not import ops (ground)",
        ),
        (
            {"localcloud/cloud.py": "from modeling import dates"},
            "localcloud (localcloud) may not import modeling",
        ),
        (
            {"benchmarks/speed.py": "from tests import needs"},
            "benchmarks (benchmarks) may not import tests (tests)",
        ),
        ({"tasks.py": "from ops import settings"}, "tasks (tasks) may not import ops (settings)"),
        ({"ops/tasks/runs.py": "from ops.runs import start\nfrom modeling import dates"}, ""),
    ],
)
def test_an_import_against_the_order_is_found_wherever_it_is(tmp_path, files, reason):
    others = ("ops/names.py", "ops/settings.py", "ops/costs/report.py", "ops/runs/start.py")
    others += ("ops/cloud/jobs.py", "modeling/dates.py", "modeling/vocabulary/model.py")
    others += ("modeling/build/plan.py", "modeling/outputs/tables.py")
    others += ("localcloud/cloud.py", "scripts/main_builder.py", "tests/needs.py")
    for path, text in (dict.fromkeys(others, "") | files).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    found = House(tmp_path).broken_imports()

    assert (reason in found[0]) if reason else not found


def test_a_new_folder_without_a_room_is_found(tmp_path):
    (tmp_path / "ops" / "attic").mkdir(parents=True)
    (tmp_path / "ops" / "attic" / "machines.py").write_text("")

    assert House(tmp_path).folders_without_room() == ["ops/attic"]


def test_a_circle_through_a_function_is_found(tmp_path):
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "a.py").write_text("from ops.b import f\n")
    (tmp_path / "ops" / "b.py").write_text("def f():\n    from . import a\n")

    assert set(circle(House(tmp_path).imports)) == {"ops.a", "ops.b"}


def test_a_circle_of_packages_is_found_where_no_modules_are_in_one():
    imports = {"house.attic.box": {"house.stairs"}, "house.stairs": {"house.attic.hatch"}}

    assert not circle(imports)
    assert set(circle(by_package(imports))) == {"house.attic", "house.stairs"}
