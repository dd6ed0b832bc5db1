"""Runs of the cloud downloaded to this machine: many files at once, each verified, none downloaded twice.

A file is downloaded to a temporary folder, and moved to its place once its digest is right. Files that a
stopped download has fetched are used by the next one.
"""

import base64
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import google_crc32c

from modeling.by_products import check_output_list, parse_json
from modeling.run_names import OUTPUT_LIST, OUTPUTS, REPORT
from ops.cloud.bucket import A_TIME, newest_outputs, read_objects_or_none, run_ids
from ops.cloud.cloud import Cloud
from ops.failures import UserError, did_you_mean
from ops.laptop.run_lock import held_file
from ops.names import check_exp_id, check_run_id
from ops.terminal import counted, nearest, warn_left_out

CHOICES = ("outputs", "all")
BY_BUCKET = "files are verified by the digests of the bucket"
FILES_A_COPY = 1000  # of one gcloud, which copies several at a time
COPY_SECONDS = 6 * 3600
LIST_SECONDS = 900
CHUNK_BYTES = 2**20
INCOMPLETE = ".incomplete"  # folder, below that of the run, for files that are being downloaded
LOCK = ".incomplete.lock"  # held by the download that uses the folder
_WILD = str.maketrans(dict.fromkeys("*?[]{}#", "?"))  # only ? matches these characters in a name


@dataclass(frozen=True)
class RemoteFile:
    """A file of a run, from the list of the bucket or from a list of outputs."""

    name: str  # below the run's folder
    size: int
    algorithm: str  # sha256, md5 or crc32c
    digest: str  # in hexadecimal

    def is_whole(self, path: Path) -> bool:
        """Return whether a file on this machine has this size and digest."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with open(path, "rb") as file:
            if self.algorithm != "crc32c":
                return hashlib.file_digest(file, self.algorithm).hexdigest() == self.digest
            checksum = google_crc32c.Checksum()
            while chunk := file.read(CHUNK_BYTES):
                checksum.update(chunk)
            return checksum.hexdigest().decode() == self.digest


def download(cloud: Cloud, exp_id: str, run_id: str = "", what: str = "outputs", to: str = "") -> None:
    """Download the newest outputs of a run, or all its files, and print where the report is.

    Raises
    ------
    UserError
        The run does not exist; its folder cannot be written, has no room, or is in use; or a file does not
        have the digest that the bucket lists (exit code 75).
    """
    check_exp_id(exp_id)
    if what not in CHOICES:
        raise UserError(f"--what {what}: outputs or all{did_you_mean(what, CHOICES)}")
    if run_id:
        check_run_id(run_id)
    if what == "outputs":
        run_id, outputs = newest_outputs(cloud, exp_id, run_id)
    else:
        run_id = run_id or run_ids(cloud, exp_id)[-1]
    remote = cloud.run_path(exp_id, run_id)
    top = Path(to).expanduser() if to else cloud.settings.local_data_path / "downloads"
    place = top / cloud.prefix / exp_id / run_id
    if cloud.shell.dry_run:
        _print_commands(cloud, remote, place, what)
        return
    _check_writable(place)
    taken = (
        f"{nearest(place)}: another download of this run is writing there; "
        "wait until it has ended, or choose --to"
    )
    with held_file(place / LOCK, taken):
        if what == "outputs":
            files = _listed_outputs(cloud, remote, outputs)
        else:
            files = _all_files(cloud, remote)
        fetched, present = _fetch(cloud, remote, files, place)
    _print_summary(place, files, fetched, present)


def _print_commands(cloud: Cloud, remote: str, place: Path, what: str) -> None:
    """Print the commands that would list the files and copy them."""
    if what == "outputs":
        cloud.shell.echo(["gcloud", *_cat(cloud, f"{remote}{OUTPUTS}{A_TIME}/{OUTPUT_LIST}")])
        folder = f"{OUTPUTS}{A_TIME}"
    else:
        cloud.shell.echo(["gcloud", *_list(cloud, remote)])
        folder = "FOLDER"
    copy = _copy(cloud, [f"{remote}{folder}/FILE"], place / INCOMPLETE / folder)
    cloud.shell.echo(["gcloud", *copy], note="for each folder, only the missing files; moved once verified")


def _cat(cloud: Cloud, path: str) -> list[str]:
    return ["storage", "cat", path, *cloud.in_project]


def _list(cloud: Cloud, remote: str) -> list[str]:
    words = ["storage", "objects", "list", f"{remote}**", *cloud.in_project]
    return [*words, "--format", "json(name,size,md5_hash,crc32c_hash)"]


def _copy(cloud: Cloud, paths: Sequence[str], target: Path) -> list[str]:
    return ["storage", "cp", *paths, f"{nearest(target)}/", *cloud.in_project]


def _listed_outputs(cloud: Cloud, remote: str, name: str) -> list[RemoteFile]:
    """Return the files in the list of an output folder, and the list itself last, as it was written last."""
    path = f"{OUTPUTS}{name}/{OUTPUT_LIST}"
    said = cloud.read(_cat(cloud, f"{remote}{path}"))
    try:
        named = _named_by(parse_json(said), path)
    except ValueError as error:
        warn_left_out(f"{remote}{path}", error, BY_BUCKET)
        return list(_in_bucket(cloud, remote, f"{OUTPUTS}{name}/").values())
    data = said.encode()
    return [*named, RemoteFile(path, len(data), "sha256", hashlib.sha256(data).hexdigest())]


def _named_by(listed: Any, path: str) -> list[RemoteFile]:
    """Return the files in the list of an output folder; ValueError if the list is damaged."""
    folder = path.removesuffix(OUTPUT_LIST)
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            _checked(folder + each["name"])
    return [
        RemoteFile(folder + each["name"], each["bytes"], "sha256", each["sha256"])
        for each in check_output_list(listed)
    ]


def _all_files(cloud: Cloud, remote: str) -> list[RemoteFile]:
    """Return all files of a run; files in a list of outputs with the digests of that list."""
    files = _in_bucket(cloud, remote)
    if not files:
        raise UserError(f"{remote}: no such run", fix="invoke runs --cloud")
    lists = [name for name in files if name.startswith(OUTPUTS) and name.endswith(f"/{OUTPUT_LIST}")]
    if lists:
        found = read_objects_or_none(cloud, [remote + name for name in lists])
        for path, named in zip(lists, found, strict=True):
            try:
                files |= {each.name: each for each in _named_by(named, path)}
            except ValueError as error:
                warn_left_out(f"{remote}{path}", error, BY_BUCKET)
    return sorted(files.values(), key=lambda each: (each.name in lists, each.name))


def _in_bucket(cloud: Cloud, remote: str, folder: str = "") -> dict[str, RemoteFile]:
    """Return the files of a run, or of a folder of it, as the bucket lists them."""
    said = cloud.read(_list(cloud, remote + folder), timeout_seconds=LIST_SECONDS)
    below = remote.split("/", 3)[3]
    files = {}
    for each in json.loads(said or "[]"):
        name = _checked(each["name"].removeprefix(below))
        if not name.endswith("/"):  # a placeholder for an empty folder
            files[name] = RemoteFile(name, int(each["size"]), *_digest_of(each))
    return files


def _digest_of(listed: dict[str, Any]) -> tuple[str, str]:
    """Return the kind of an object's digest and the digest; an object made of parts has no MD5."""
    kind = "md5" if listed.get("md5_hash") else "crc32c"
    return kind, base64.b64decode(listed[f"{kind}_hash"]).hex()


def _checked(name: str) -> str:
    """Refuse a name that leads out of the run's folder: anyone who may write to the bucket can choose it."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or parts[0] in (INCOMPLETE, LOCK):
        raise UserError(
            f"{name!r}: a file with this name is not downloaded; delete it in the bucket", exit_code=1
        )
    return name


def _fetch(
    cloud: Cloud, remote: str, files: Sequence[RemoteFile], place: Path
) -> tuple[list[RemoteFile], int]:
    """Download the missing files; return these, and the number of files already present."""
    half_way = place / INCOMPLETE
    missing = [each for each in files if not each.is_whole(place / each.name)]
    # a list of outputs means that all its files exist, so it is moved after them
    waiting = [
        each for each in missing if each.name.endswith(f"/{OUTPUT_LIST}") or not _moved(each, half_way, place)
    ]
    _check_room(place, sum(each.size for each in waiting))
    for folder, some in _batches(waiting):
        target = half_way / folder
        target.mkdir(parents=True, exist_ok=True)
        paths = [remote + each.name.translate(_WILD) for each in some]
        print(f"fetching {counted(len(some), 'file')} of {folder or 'the run'}/", flush=True)
        words = _copy(cloud, paths, target)
        cloud.read(words, timeout_seconds=COPY_SECONDS, echo=False)
        for each in some:
            if not _moved(each, half_way, place):
                (half_way / each.name).unlink(missing_ok=True)
                raise UserError(
                    f"{remote}{each.name}: the download does not match its digest in the bucket; try again",
                    exit_code=75,
                )
    shutil.rmtree(half_way, ignore_errors=True)
    return missing, len(files) - len(missing)


def _moved(file: RemoteFile, half_way: Path, place: Path) -> bool:
    """Move a completely downloaded file to its place; return whether it was complete."""
    if not file.is_whole(half_way / file.name):
        return False
    (place / file.name).parent.mkdir(parents=True, exist_ok=True)
    os.replace(half_way / file.name, place / file.name)
    return True


def _batches(files: Sequence[RemoteFile]) -> Iterator[tuple[str, list[RemoteFile]]]:
    """Yield files of one folder each: one copy command puts all its files into one folder."""
    folders = defaultdict(list)
    for each in files:
        folders[each.name.rpartition("/")[0]].append(each)
    for folder, some in sorted(folders.items(), reverse=True):  # charts/ before the list that names them
        for start in range(0, len(some), FILES_A_COPY):
            yield folder, some[start : start + FILES_A_COPY]


def _check_writable(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{nearest(place)}: cannot be written ({error.strerror}); choose another with --to"
        ) from None


def _check_room(place: Path, size: int) -> None:
    free = shutil.disk_usage(place).free
    if free < size:
        raise UserError(
            f"{nearest(place)}: {size / 2**20:,.0f} MiB are needed, {free / 2**20:,.0f} MiB are free; "
            "choose another place with --to"
        )


def _print_summary(
    place: Path, files: Sequence[RemoteFile], fetched: Sequence[RemoteFile], present: int
) -> None:
    """Print what was downloaded and where the report is, in one line."""
    reports = sorted(each.name for each in files if each.name.endswith(f"/{REPORT}"))
    where = nearest(place / reports[-1]) if reports else nearest(place)
    size = sum(each.size for each in fetched) / 2**20
    before = f", {counted(present, 'file')} already present" if present else ""
    print(f"fetched {counted(len(fetched), 'file')} ({size:,.1f} MiB){before}: {where}")
