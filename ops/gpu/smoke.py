"""`invoke gpu-smoke`: a sentence or an experiment from its upload to its result, step by step."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gpu.experiment import check_experiment, packed
from ops.gpu.names import Names
from ops.gpu.uploads import Uploads
from ops.terminal import counted, print_step, timed

SENTENCE_NAME, SENTENCE = "test-input.txt", "This product is amazing! I love it."
EXPECTED = "positive"  # what the model says about the sentence


def smoke(cloud: Cloud, exp_id: str = "") -> None:
    """Ask the services for their health, upload, wait for the execution, and print the result.

    Parameters
    ----------
    exp_id : str
        An experiment of the forecasting repository, whose archive is uploaded instead of the sentence.

    Raises
    ------
    UserError
        The lane is not deployed, a service is not healthy, or the execution did not succeed (exit code 1).
    """
    names = Names.of(cloud.settings)
    if exp_id:
        check_experiment(cloud.settings, exp_id)
    uploads = Uploads(cloud, names)
    cloud.shell.end_if_dry_run(lambda: _print_commands(uploads, exp_id))
    with timed("health") as line:
        health = uploads.health()
        line.note = f"{counted(len(health), 'service')}, {health['inference'].get('device', '')}"
    with tempfile.TemporaryDirectory(prefix="gpu-smoke-") as folder:
        if exp_id:
            with timed("pack") as line:
                file = packed(cloud.shell, cloud.settings, exp_id, Path(folder))
                line.note = f"{file.stat().st_size / 2**20:,.1f} MiB"
        else:
            file = write_sentence(Path(folder))
        result = run(uploads, file)
    check_answer(result, exp_id)
    print(json.dumps(result["summary"], ensure_ascii=False))


def run(uploads: Uploads, file: Path) -> dict[str, Any]:
    """Upload a file, and return its result.json; each step is a line."""
    with timed("upload") as line:
        generation = uploads.upload(file, file.name)
        line.note = f"gs://{uploads.names.bucket('input')}/{file.name}#{generation}"
    with timed("start") as line:
        line.note = execution = uploads.execution_of(file.name, generation)
    with timed("execution") as line:
        ended = uploads.ended(execution)
        line.note = f"key {ended.get('key', '')}"
    with timed("result") as line:
        result = uploads.result(ended)
        line.note = ended["result"]
    for step, seconds in result["seconds"].items():
        print_step(f"  {step}", seconds, result["device"] if step == "predict" else "")
    units = f"{counted(result['units'], 'unit')}, {len(result['failed'])} failed"
    print(f"{result['model']}: {units}, {counted(len(result['files']), 'file')}")
    return result


def write_sentence(folder: Path) -> Path:
    """Write the sentence, and return its path."""
    file = folder / SENTENCE_NAME
    file.write_text(SENTENCE, encoding="utf-8")
    return file


def check_answer(result: dict[str, Any], exp_id: str = "") -> None:
    """Refuse a wrong answer to the sentence."""
    label = result["summary"].get("label")
    if not exp_id and label != EXPECTED:
        raise UserError(f'"{SENTENCE}" is {label}; it must be {EXPECTED}', exit_code=1)


def _print_commands(uploads: Uploads, exp_id: str) -> None:
    name = f"{exp_id.rpartition('/')[2]}.tar.gz" if exp_id else SENTENCE_NAME
    uploads.health()
    uploads.upload(Path(name), name)
    uploads.look(datetime.now(UTC))
    uploads.describe("EXECUTION")
    place = f"gs://{uploads.names.bucket('output')}/results/{name}/GENERATION/result.json"
    uploads.cloud.read(["storage", "cat", place], echo=False)
