"""Generated files: `invoke docs` writes them, and checks them with --check.

.env.example, docs/settings.md, and settings.tf of terraform/ and terraform/gpu/ come from ops/settings.py,
the table of tasks in README.md from the tasks, the roles of people in docs/access.md and docs/gpu.md from
ops/people.py, the templates of jobs from jobs/stage.json.j2, and docs/experiment-keys.md and the JSON schema
for editors from modeling/vocabulary/.
"""

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from invoke.loader import FilesystemLoader
from invoke.tasks import Task
from pydantic.fields import FieldInfo

from ops.failures import UserError
from ops.people import GPU_WORK, WORK, listed
from ops.setting_types import bounds
from ops.settings import EXAMPLE_HEAD, IN_EXAMPLE, ROOT, Settings, as_written
from ops.shell import Shell
from ops.stages import LETTERS
from ops.terminal import nearest
from ops.terraform_settings import gpu_settings_tf, settings_tf

COMMENT_WIDTH = 110  # columns of .env.example
LARGE = 10**6  # a larger bound only catches mistakes, so it is not shown
JOB = ROOT / "jobs" / "stage.json.j2"
README = ROOT / "README.md"
PEOPLE = {
    ROOT / "docs" / "access.md": WORK,
    ROOT / "docs" / "gpu.md": GPU_WORK,
}  # pages that list their roles
VOCABULARY = ROOT / "scripts" / "describe_vocabulary.py"
VOCABULARY_SECONDS = 60
SETTINGS_PAGE = """\
# Settings

Every setting, its default and its meaning. Set them in `.env` (`invoke config-init`, `invoke config-edit`),
in the environment, or for one run with `invoke run --set NAME=VALUE`; `invoke config-show` prints the values
in use. `invoke docs` generates this page.

| setting | default | meaning |
|---|---|---|
"""


def write(check: bool = False) -> None:
    """Write the generated files; with `check` write none.

    Raises
    ------
    UserError
        With `check`, a file is stale; without it, a file cannot be written; or README.md has no markers for
        the table.
    """
    stale = stale_files()
    names = ", ".join(nearest(path) for path in stale)
    if check and stale:
        raise UserError(f"stale: {names}; run `invoke docs` and commit what it writes", exit_code=1)
    for path, text in stale.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{nearest(path)}: cannot be written ({error.strerror})") from None
    print(f"wrote {names}" if stale else "every generated file is up to date")


def stale_files() -> dict[Path, str]:
    """Return the new text of each generated file that differs from the one on disk."""
    return {path: text for path, text in generated_files().items() if _text_of(path) != text}


def generated_files() -> dict[Path, str]:
    """Return the text of every generated file."""
    return {
        ROOT / ".env.example": env_example(),
        ROOT / "terraform" / "settings.tf": settings_tf(),
        ROOT / "terraform" / "gpu" / "settings.tf": gpu_settings_tf(),
        ROOT / "docs" / "settings.md": settings_page(),
        README: _with_part(README, "tasks", task_table()),
        **{page: _with_part(page, "people", listed(works)) for page, works in PEOPLE.items()},
        **{JOB.with_name(f"stage-{letter.lower()}.json"): job(stage) for stage, letter in LETTERS.items()},
        **vocabulary_files(),
    }


def env_example() -> str:
    """Return .env.example: the settings in paragraphs, each below its comment."""
    paragraphs = [_comment(EXAMPLE_HEAD)]
    for name, setting in Settings.model_fields.items():
        line = f"{name.upper()}={IN_EXAMPLE.get(name, as_written(setting.default))}"
        above = setting.json_schema_extra["above"]
        if above is None:
            paragraphs[-1] += f"\n{line}"
        else:
            meaning = setting.description
            paragraphs.append(f"{_comment(above or f'{meaning[0].upper()}{meaning[1:]}.')}\n{line}")
    return "\n\n".join(paragraphs) + "\n"


def settings_page() -> str:
    """Return docs/settings.md."""
    return SETTINGS_PAGE + "".join(
        f"| `{name.upper()}` | {_code(as_written(setting.default))} | {_meaning(setting)} |\n"
        for name, setting in Settings.model_fields.items()
    )


def task_table() -> str:
    """Return README.md's table of tasks, by family, with the arguments that each requires."""
    rows = [f"| `invoke {_usage(task)}` | {_summary(task)} |" for task in _tasks()]
    return "\n".join(["| task | what it does |", "|---|---|", *rows]) + "\n"


def job(stage: str) -> str:
    """Return the template of a stage as a Batch job."""
    import jinja2  # slow to import, and every task imports this file

    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(JOB.read_text(encoding="utf-8"))
    return template.render(stage=stage, letter=LETTERS[stage])


def vocabulary_files() -> dict[Path, str]:
    """Return the page and the JSON schema of an experiment's keys.

    A process makes them, because ops/ imports only the ground of modeling/.

    Raises
    ------
    UserError
        The process failed.
    """
    printed = Shell().read(
        [sys.executable, nearest(VOCABULARY)], timeout_seconds=VOCABULARY_SECONDS, echo=False
    )
    return {ROOT / path: text for path, text in json.loads(printed).items()}


def _comment(text: str) -> str:
    lines = (wrapped for line in text.splitlines() for wrapped in textwrap.wrap(line, COMMENT_WIDTH - 2))
    return "\n".join(f"# {line}" for line in lines)


def _meaning(setting: FieldInfo) -> str:
    """Return the meaning of a setting, with the bounds of a number that has narrow ones."""
    least, most = bounds(setting)
    return setting.description + (f" ({least} to {most})" if most and most < LARGE else "")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _tasks() -> Iterator[Task]:
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    yield from module.namespace.tasks.values()


def _usage(task: Task) -> str:
    """Return a task's name with the options and arguments that it requires."""
    words = [task.name.replace("_", "-")]
    for name, parameter in list(inspect.signature(task.body).parameters.items())[1:]:
        if parameter.default is inspect.Parameter.empty:
            name = name.rstrip("_")  # of a word of Python, such as from_
            option = "" if name in task.positional else f"--{name.replace('_', '-')} "
            words.append(f"{option}{name.upper()}")
    return " ".join(words)


def _summary(task: Task) -> str:
    return " ".join(inspect.getdoc(task.body).split("\n\n")[0].split()).replace("|", "\\|")


def _with_part(page: Path, name: str, text: str) -> str:
    """Return a page with a new text between the two lines that mark one of its parts."""
    part = re.compile(f"(?s)(?<=<!-- {name} -->\n).*(?=<!-- /{name} -->)")
    found = _text_of(page)
    if not part.search(found):
        what = "table" if text.startswith("|") else "list"
        raise UserError(
            f"{nearest(page)}: the lines <!-- {name} --> and <!-- /{name} --> around the {what} are missing"
        )
    return part.sub(lambda _: text, found)


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
