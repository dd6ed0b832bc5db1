"""Files that `invoke docs` generates: fresh, and complete."""

import json
import re

import pytest

from ops import docs
from ops.docs import env_example, generated_files, stale_files, task_table
from ops.failures import UserError
from ops.setting_types import Form, form
from ops.settings import STAGE_DEFAULTS, Settings
from ops.terraform_settings import as_re2, settings_tf, terraform_variables
from tests.experiments import REPOSITORY


def test_every_generated_file_is_up_to_date():
    assert not [str(path) for path in stale_files()], "run `invoke docs` and commit what it writes"


def test_a_stale_file_is_named_and_written_again(tmp_path, monkeypatch, capsys):
    for path, text in generated_files().items():
        copy = tmp_path / path.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    for name in ("tasks.py", "jobs/stage.json.j2"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "README", tmp_path / "README.md")
    monkeypatch.setattr(docs, "JOB", tmp_path / "jobs" / "stage.json.j2")
    (tmp_path / ".env.example").write_text("REGION=mars\n")

    with pytest.raises(UserError) as stale:
        docs.write(check=True)
    docs.write()
    docs.write(check=True)

    assert str(stale.value) == "stale: .env.example; run `invoke docs` and commit what it writes"
    assert stale.value.exit_code == 1
    assert (tmp_path / ".env.example").read_text() == env_example()
    assert capsys.readouterr().out == "wrote .env.example\nevery generated file is up to date\n"


def test_a_readme_without_a_place_for_the_table_is_refused(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("# Nothing\n")
    monkeypatch.setattr(docs, "README", tmp_path / "README.md")

    with pytest.raises(
        UserError, match="the lines <!-- tasks --> and <!-- /tasks --> around the table are missing"
    ):
        docs.write()


def test_the_table_of_tasks_shows_what_each_requires():
    rows = task_table().splitlines()

    assert "| `invoke config-init` | Create .env from .env.example. |" in rows
    usages = set(re.findall(r"`invoke ([^`]+)` \|", task_table()))
    assert {"stage STAGE --exp-id EXP_ID", "job --stage STAGE --exp-id EXP_ID", "job-cancel JOB"} <= usages


def test_every_setting_of_a_stage_is_one_of_terraforms_stages():
    stages = settings_tf().partition('variable "stages"')[2]

    for defaults in STAGE_DEFAULTS.values():
        for name, default in vars(defaults).items():
            assert re.search(rf"{name} +=.*, {default!r}\)".replace("'", '"'), stages), name


def test_the_patterns_mean_the_same_to_python_and_to_terraform():
    re2 = pytest.importorskip("re2")  # the syntax of Terraform's regex()
    texts = (
        "",
        "flu/",
        "my-lab",
        "us-central1",
        "a@b.c",
        "ghp_0123456789",
        "https://github.com",
        "a b",
        "é",
        "a\u00a0b@c.d",
        "a\vb@c.d",
    )

    shapes = {name: form(Settings.model_fields[name]) for name in terraform_variables()}
    assert sum(shape is not None for shape in shapes.values()) > 20
    for name, shape in shapes.items():
        for text in texts if shape else ():
            is_never = bool(shape.never) and bool(re2.search(shape.never, text))
            terraform_accepts = bool(re2.fullmatch(as_re2(shape.pattern), text)) and not is_never
            assert terraform_accepts == _accepts(shape, text), (name, text)


@pytest.mark.parametrize("setting", ["dir_prefix", "tf_state_prefix"])
def test_a_prefix_with_dots_is_refused_by_the_patterns_that_terraform_gets(setting):
    shape = form(Settings.model_fields[setting])

    assert [text for text in ("./", "../flu/", "flu/../", "flu/./a/") if _accepts(shape, text)] == []
    assert _accepts(shape, "flu..2/.hidden/...a/")
    assert json.dumps(shape.never) in settings_tf()


def _accepts(shape: Form, text: str) -> bool:
    try:
        shape(text)
    except ValueError:
        return False
    return True
