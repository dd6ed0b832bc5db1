"""A gcloud that gives some answers itself, as the service may one day; all else it asks of the real one."""

import json
import os
import shutil
import sys
from pathlib import Path

_PROGRAM = """#!{python} -IS
import json, os, sys
said = " ".join(sys.argv[1:])
for words, answer in json.load(open({answers!r})).items():
    if said.startswith(words):
        if isinstance(answer, dict) and "refusal" in answer:
            sys.exit(answer["refusal"])
        print(json.dumps(answer))
        sys.exit()
os.execv({gcloud!r}, ["gcloud", *sys.argv[1:]])
"""


def path_with_odd_gcloud(folder: Path, answers: dict[str, object]) -> str:
    """Return a PATH on which gcloud answers commands that begin so; {"refusal": text} is an error of it."""
    programs = folder / "odd"
    programs.mkdir(exist_ok=True)
    held, program = programs / "answers.json", programs / "gcloud"
    held.write_text(json.dumps(answers))
    gcloud = shutil.which("gcloud") or "/nonexistent"
    program.write_text(_PROGRAM.format(python=sys.executable, answers=str(held), gcloud=gcloud))
    program.chmod(0o755)
    return f"{programs}{os.pathsep}{os.environ['PATH']}"
