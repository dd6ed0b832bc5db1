"""Repeat a finished run from its run_metadata.json and compare the outputs of both.

The second run is made where the first one is: on this machine, or in the cloud. comparison.py compares the
outputs. On this machine the forecasting repository is assembled as the first run used it: YAML from the run's
config/, data from the run's commit if it is known, otherwise today's data.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from modeling.by_products import check_metadata, check_output_list, parse_json
from modeling.plain_text import one_line
from modeling.run_names import ARCHIVE, EPYDEMIX, METADATA, OUTPUT_LIST, OUTPUTS
from ops.cloud.cloud import Cloud
from ops.cloud.executions import follow
from ops.failures import UserError
from ops.gcloud import GcloudError, is_no_match
from ops.laptop import local_run
from ops.laptop.local_run import commit_of, forecast_repository
from ops.laptop.run_files import LocalRun, by_product, latest_run, read_json, run_named
from ops.names import NO_TABLES
from ops.run_request import RunRequest
from ops.runs import cloud_run
from ops.runs.cloud_run import Origin
from ops.runs.comparison import Outputs, compare, digests
from ops.settings import ROOT, Settings, limit_settings
from ops.shell import Shell
from ops.stages import LETTERS
from ops.terminal import counted, nearest

COPY_SECONDS = 1800
# settings by their names in run_metadata.json
OF_STAGE_B = {"provisioning_model": "provisioning_model", "tasks_per_machine": "task_count_per_node"}


def reproduce(shell: Shell, settings: Settings, exp_id: str, run_id: str, compare_with: str = "") -> None:
    """Repeat a run and compare the outputs; with `compare_with` start none and compare with that run.

    Raises
    ------
    UserError
        The run does not exist, the second one failed, or its outputs differ (exit code 1).
    """
    first = RunRequest(exp_id, run_id)
    if not run_id:
        raise UserError(f"--run-id is needed; `invoke runs --exp-id {exp_id}` lists the runs")
    is_in_cloud = settings.execution_mode == "cloud"
    place = _InCloud(Cloud.of(shell, settings)) if is_in_cloud else _Here(shell, settings)
    original = place.outputs(first)
    _print_warnings(original.metadata)
    if not compare_with:
        compare_with = place.run_again(first, original.metadata)
    shell.end_if_dry_run()
    compare(original, place.outputs(RunRequest(exp_id, compare_with)))


class _Here:
    """Runs on this machine."""

    def __init__(self, shell: Shell, settings: Settings):
        self.shell, self.settings = shell, settings

    def outputs(self, request: RunRequest) -> Outputs:
        run = latest_run(self.settings, request.exp_id, request.run_id)
        path = run.folder / METADATA
        if not path.is_file():
            raise _unfinished(nearest(path), request)
        metadata = _metadata(read_json(path), nearest(path), request)
        folder = run.folder / OUTPUTS / _outputs_name(metadata, nearest(path))
        listed = folder / OUTPUT_LIST
        if not listed.is_file():
            raise UserError(f"{nearest(listed)}: no such file; the outputs of that run were deleted")
        return Outputs(
            run.run_id,
            metadata,
            _digests_here(folder, listed),
            lambda name, _: folder / name,
            f"invoke stage output --exp-id {request.exp_id} --run-id {request.run_id}",
        )

    def run_again(self, request: RunRequest, metadata: dict[str, Any]) -> str:
        run = run_named(self.settings, request.exp_id, request.run_id)
        code, was = local_run.commit_of(ROOT), metadata.get("commits", {}).get("code", "")
        if code != was:
            commits = f"commit {code or 'unknown'} now, {was or 'unknown'} then"
            print(f"the code differs from that of the run: {commits}", flush=True)
        with repository_of(self.shell, self.settings, run, metadata) as repository:
            settings = _as_then(self.settings, metadata)
            asked = _request(request, metadata)
            # the one that it was built with is its own now; another one was chosen for stage C only
            if asked.output_config_file == metadata["manifest"].get("output_config_file", ""):
                asked = replace(asked, output_config_file="")
            settings = settings.model_copy(update={"forecast_repo_dir": repository})
            return local_run.run(self.shell, settings, asked).run_id


class _InCloud:
    """Runs in the bucket, read with gcloud."""

    def __init__(self, cloud: Cloud):
        self.cloud, self.reader = cloud, cloud.without_dry_run

    def outputs(self, request: RunRequest) -> Outputs:
        path = self.cloud.run_path(*request.key)
        name = f"{path}{METADATA}"
        metadata = _metadata(_parsed(self._read(name, request), name), name, request)
        folder = f"{path}{OUTPUTS}{_outputs_name(metadata, f'{path}{METADATA}')}"
        try:
            listed = digests(self._read(f"{folder}/{OUTPUT_LIST}", request))
        except ValueError as error:
            again = f"invoke job --stage output --exp-id {request.exp_id} --run-id {request.run_id} --wait"
            raise UserError(f"{folder}/{OUTPUT_LIST}: {error}; write the outputs again", fix=again) from None

        def copied(name: str, work: Path) -> Path:
            copy = work / request.run_id / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            words = ["storage", "cp", f"{folder}/{name}", str(copy), *self.cloud.in_project]
            self.reader.read(words, timeout_seconds=COPY_SECONDS)
            return copy

        command = f"invoke job --stage output --exp-id {request.exp_id} --run-id {request.run_id} --wait"
        return Outputs(request.run_id, metadata, listed, copied, command)

    def run_again(self, request: RunRequest, metadata: dict[str, Any]) -> str:
        origin = self._origin(request, metadata)
        settings = _as_then(self.cloud.settings, metadata)
        if origin.has_archive:
            settings = settings.model_copy(update={"github_forecast_repo": "", "github_pat_secret": ""})
        else:
            settings = settings.model_copy(update={"forecast_repo_ref": origin.commit})
        then = Cloud.of(self.cloud.shell, settings)
        started = cloud_run.start(then, _request(request, metadata), origin)
        then.shell.end_if_dry_run()
        cloud_run.print_how_to_follow(started.execution)
        words = f"--exp-id {request.exp_id} --run-id {request.run_id} --compare-with {started.run_id}"
        print(f"compare  invoke reproduce --cloud {words}  (if this terminal is closed first)")
        follow(started.execution)
        return started.run_id

    def _origin(self, request: RunRequest, metadata: dict[str, Any]) -> Origin:
        """Return the image and repository of a run; refuse a run without them."""
        path = self.cloud.run_path(*request.key)
        commit = metadata.get("commits", {}).get("forecast", "")
        has_archive = self._is_there(f"{path}{ARCHIVE}")
        is_on_github = self.cloud.settings.github_forecast_repo and re.fullmatch("[0-9a-f]{40}", commit)
        if not has_archive and not is_on_github:
            raise UserError(
                f"{path}{ARCHIVE}: no such file; the run's repository was deleted, "
                "and no commit on GitHub is known"
            )
        if not metadata.get("image_uri"):
            raise UserError(f"{path}{METADATA}: no image in it; that run cannot be repeated")
        return Origin(path, metadata["image_uri"], has_archive, commit)

    def _read(self, name: str, request: RunRequest) -> str:
        try:
            return self.reader.read(["storage", "cat", name, *self.cloud.in_project], echo=False)
        except GcloudError as error:
            if not is_no_match(error):
                raise
            raise _unfinished(name, request) from None

    def _is_there(self, name: str) -> bool:
        return bool(self.reader.read_if_there(["storage", "ls", name, *self.cloud.in_project]))


def _unfinished(name: str, request: RunRequest) -> UserError:
    return UserError(
        f"{name}: no such file; the run does not exist, or has no outputs yet",
        fix=f"invoke run --exp-id {request.exp_id} --run-id {request.run_id}",
    )


def _outputs_name(metadata: dict[str, Any], path: str) -> str:
    """Return the output folder that the metadata belong to; each stage C writes both."""
    if isinstance(metadata, dict) and isinstance(metadata.get("manifest"), dict):
        name = str(metadata.get("outputs")).rstrip("/").rpartition("/")[2]
        if re.fullmatch("[0-9-]+", name):
            return name
    raise UserError(f"{path}: no outputs in it; it is damaged, and that run cannot be repeated")


def _parsed(text: str, path: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise UserError(f"{path}: {error}; it is damaged, and that run cannot be repeated") from None


def _metadata(found: Any, path: str, request: RunRequest) -> dict[str, Any]:
    """Return the metadata of a run; UserError if they are damaged, or belong to another run."""
    try:
        metadata = check_metadata(found)
    except ValueError as error:
        raise UserError(f"{path}: {error}; it is damaged, and that run cannot be repeated") from None
    manifest = metadata["manifest"]
    its = manifest.get("exp_id", request.exp_id), manifest.get("run_id", request.run_id)
    if its != (request.exp_id, request.run_id):
        raise UserError(f"{path} belongs to run {its[1]} of {its[0]}; restore the right file")
    return metadata


def _digests_here(folder: Path, listed: Path) -> dict[str, str]:
    """Return the digests of outputs on this machine: as listed, or computed if the list is damaged."""
    named = by_product(listed, check_output_list)
    if named is not None:
        return {each["name"]: each["sha256"] for each in named if each["name"] not in NO_TABLES}
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in (*NO_TABLES, OUTPUT_LIST):
            with open(path, "rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _request(request: RunRequest, metadata: dict[str, Any]) -> RunRequest:
    """Return the request that repeats a run, with the seed that was drawn."""
    asked = metadata.get("arguments", {})
    return RunRequest(
        request.exp_id,
        count=asked.get("count"),
        seed=asked.get("seed", metadata["manifest"].get("seed")),
        reference_date=asked.get("reference_date", ""),
        strict=asked.get("strict", False),
        output_config_file=asked.get("output_config_file", ""),
        allow_partial=asked.get("allow_partial", False),
    )


def _as_then(settings: Settings, metadata: dict[str, Any]) -> Settings:
    """Return the settings with the values of the run; only place, accounts and speed come from .env."""
    try:
        machines = _machines_then(metadata)
    except (AttributeError, KeyError, TypeError):
        raise UserError(
            f"{METADATA}: its machines cannot be read; another version of this pipeline wrote it"
        ) from None
    others = [name for name in machines if machines[name] != getattr(settings, name)]
    if others:
        now = {name: getattr(settings, name) or "none" for name in others}
        changed = (f"{name.upper()}={machines[name] or 'none'} ({now[name]} now)" for name in others)
        print(f"using the settings of the run: {', '.join(changed)}", flush=True)
    then = {
        "run_count": None,
        "run_seed": None,
        "run_output_stage": True,
        "output_config_file": "",
        "allow_partial_results": False,  # the request decides
        "modeling_suite": metadata["manifest"].get("suite", settings.modeling_suite),
        "engine": metadata["manifest"].get("engine", EPYDEMIX),  # of runs before there was another
    }
    return settings.model_copy(update=then | machines)


def _machines_then(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the settings for the machines of a run; of several kinds those of most tasks."""
    then: dict[str, Any] = {}
    for stage, kinds in metadata.get("machines", {}).items():
        if len(kinds) > 1:
            used = "the last one" if stage == "output" else "that of most tasks"
            print(f"stage {LETTERS[stage]} ran on {len(kinds)} kinds of machines; using {used}", flush=True)
        # a resumed run skips stage A, but writes the outputs again
        most = kinds[-1] if stage == "output" else max(kinds, key=lambda kind: kind["tasks"])
        limits = limit_settings(LETTERS[stage])
        then[limits["machine_type"]] = most.get("machine_type", "")
        then |= {name: most[limit] for limit, name in limits.items() if limit in most}
        if stage == "runner":
            then |= {name: most[recorded] for recorded, name in OF_STAGE_B.items() if recorded in most}
    return then


def _print_warnings(metadata: dict[str, Any]) -> None:
    """Print why the outputs may differ, before a run is paid for."""
    for cut in map(one_line, metadata.get("cut_short", [])):
        print(f"{cut}: its outcome depends on the speed of the machine", flush=True)
    if number := metadata.get("num_missing"):
        print(f"the run was missing {counted(number, 'result')}; a new run may have them", flush=True)
    if images := metadata.get("images"):
        print(f"the run used {counted(len(images), 'image')}; using the last one", flush=True)


GIT_SECONDS = 600


@contextmanager
def repository_of(
    shell: Shell, settings: Settings, run: LocalRun, metadata: dict[str, Any]
) -> Iterator[Path]:
    """Yield a temporary folder that serves as the repository of the run.

    Raises
    ------
    UserError
        The commit of the run is not in the repository, or the YAML of the run is missing.
    """
    config = run.folder / "config"
    if not any(config.glob("*.yaml")):
        raise UserError(f"{nearest(config)}: no YAML in it; that run cannot be repeated")
    repository = forecast_repository(settings, run.exp_id)
    commit = metadata.get("commits", {}).get("forecast", "")
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=settings.local_data_path) as work:
        folder = Path(work, "forecast")
        folder.mkdir()
        if re.fullmatch("[0-9a-f]{40}", commit) and commit_of(repository) != commit:
            _check_out(shell, repository, commit, folder)
        else:
            if not re.fullmatch("[0-9a-f]{40}", commit):
                place = nearest(repository)
                print(f"using today's data in {place}: the commit of the run's data is unknown", flush=True)
            _link(repository, folder, run.exp_id)
        own = folder / "experiments" / run.exp_id / "config"
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(config, own)
        yield folder


def _check_out(shell: Shell, repository: Path, commit: str, folder: Path) -> None:
    """Write the files of a commit of the forecasting repository to a folder."""
    print(f"using the data of commit {commit} of {nearest(repository)}", flush=True)
    archive = folder.with_name("forecast.tar")
    shell = shell.without_dry_run  # a dry run only skips the stages
    packed = shell.run_always(
        ["git", "-C", str(repository), "archive", "--format=tar", f"--output={archive.absolute()}", commit],
        timeout_seconds=GIT_SECONDS,
    )
    if packed.exit_code:
        raise UserError(
            f"{nearest(repository)}: has no commit {commit}, which the run used",
            fix=f"git -C {nearest(repository)} fetch --all",
        )
    shell.read(["tar", "-xf", str(archive), "-C", str(folder)], timeout_seconds=GIT_SECONDS, echo=False)


def _link(repository: Path, folder: Path, exp_id: str) -> None:
    """Fill a folder with links to a repository, except the experiment's config/."""
    _link_all(repository, folder, {"experiments", ".git"})
    there, here = repository, folder
    for part in ("experiments", *exp_id.split("/")):
        there, here = there / part, here / part
        here.mkdir()
    if there.is_dir():
        _link_all(there, here, {"config"})


def _link_all(source: Path, target: Path, without: set[str]) -> None:
    for path in sorted(source.iterdir()):
        if path.name not in without:
            (target / path.name).symlink_to(path.absolute())
