"""Uploads in several requests: resumable ones, and the parts of a multipart upload.

What has arrived is in files, so an upload survives a restart. Their routes are in upload_routes.py and
xml_routes.py.
"""

import json
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localcloud.messages import READ_BYTES, ApiError, Body
from localcloud.rights.callers import current_member
from localcloud.storage.content import Content, Draft, sealed_file
from localcloud.storage.database import Database
from localcloud.storage.objects import ObjectRecord, Target
from localcloud.storage.preconditions import Preconditions


@dataclass(frozen=True)
class Upload:
    id: str
    target: Target  # its conditions are checked when the object is created
    metadata: dict[str, Any]  # as the client sent it
    finished: ObjectRecord | None  # the object it created, for a client that missed the answer
    member: str  # who began it; "" in a cloud that enforces nothing


_PARTS = "parts-"  # how the ID of an upload in parts begins


class Uploads:
    def __init__(self, folder: Path, database: Database):
        self._folder = folder / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._database = database
        # One request of an upload at a time; uploads share locks, so that there are never more than these.
        self._locks = [threading.Lock() for _ in range(64)]

        self._remove_leftovers()

    def start(self, target: Target, metadata: dict[str, Any], in_parts: bool = False) -> str:
        upload_id = (_PARTS if in_parts else "") + secrets.token_urlsafe(24)
        self._database.execute(
            "INSERT INTO uploads (id, bucket, name, metadata, conditions, member) VALUES (?, ?, ?, ?, ?, ?)",
            (
                upload_id,
                target.bucket,
                target.name,
                json.dumps(metadata),
                json.dumps(asdict(target.conditions)),
                current_member(),
            ),
        )
        return upload_id

    @contextmanager
    def use(self, upload_id: str, of: Target | None = None) -> Iterator[Upload]:
        """Yield an upload, locked for this request; one in parts only as an upload `of` its object.

        Whoever knows the ID of a resumable upload may use it. Each request for a part instead needs rights on
        the object that it names, which must be the upload's own.
        """
        with self._locks[hash(upload_id) % len(self._locks)]:
            upload = self._find(upload_id)
            named = (of.bucket, of.name) if of else None
            if named != ((upload.target.bucket, upload.target.name) if _is_in_parts(upload_id) else None):
                raise _no_upload(upload_id)
            yield upload

    def finish(self, upload: Upload, record: ObjectRecord) -> None:
        self._database.execute(
            "UPDATE uploads SET finished = ? WHERE id = ?",
            (json.dumps(asdict(record)), upload.id),
        )
        self._remove_files(upload)

    def cancel(self, upload: Upload) -> None:
        self._database.execute("DELETE FROM uploads WHERE id = ?", (upload.id,))
        self._remove_files(upload)

    def forget_all(self) -> None:
        self._database.execute("DELETE FROM uploads")
        for path in list(self._folder.iterdir()):
            path.unlink(missing_ok=True)

    # Resumable: one file that grows.

    def received_bytes(self, upload: Upload) -> int:
        path = self._path(upload)
        return path.stat().st_size if path.exists() else 0

    def append(self, upload: Upload, body: Body, skip_bytes: int = 0) -> None:
        """Append a body; what arrived before its connection broke is kept."""
        with open(self._path(upload), "ab") as file:
            while piece := body.read(READ_BYTES):
                file.write(piece[skip_bytes:])
                skip_bytes = max(0, skip_bytes - len(piece))

    def received(self, upload: Upload) -> Content:
        self._path(upload).touch()
        return sealed_file(self._path(upload))

    # Multipart: one file for each part.

    def save_part(self, upload: Upload, number: int, body: Body, expected: dict[str, str]) -> Content:
        """Store a part, which replaces an earlier one of the same number."""
        arriving = self._folder / f"{upload.id}.{number}.{secrets.token_hex(4)}"
        try:
            with open(arriving, "wb") as file:
                while piece := body.read(READ_BYTES):
                    file.write(piece)
            content = sealed_file(arriving)
            content.check(expected)
            arriving.replace(self._part_path(upload, number))
        finally:
            arriving.unlink(missing_ok=True)
        return content

    def join_parts(self, upload: Upload, numbers: Iterable[int], draft: Draft) -> None:
        for number in numbers:
            try:
                with open(self._part_path(upload, number), "rb") as file:
                    draft.write_all(file)
            except FileNotFoundError:
                raise ApiError(400, f"Part {number} was not uploaded.", reason="InvalidPart") from None

    # The table and the folder.

    def _find(self, upload_id: str) -> Upload:
        rows = self._database.execute("SELECT * FROM uploads WHERE id = ?", (upload_id,))
        if not rows:
            raise _no_upload(upload_id)
        row = rows[0]
        conditions = Preconditions(**json.loads(row["conditions"]))
        target = Target(row["bucket"], row["name"], conditions=conditions)
        finished = ObjectRecord(**json.loads(row["finished"])) if row["finished"] else None
        return Upload(upload_id, target, json.loads(row["metadata"]), finished, row["member"])

    def _path(self, upload: Upload) -> Path:
        return self._folder / upload.id

    def _part_path(self, upload: Upload, number: int) -> Path:
        return self._folder / f"{upload.id}.{number}"

    def _remove_leftovers(self) -> None:
        """Remove finished uploads, kept only for clients that missed the answer, and files without a row."""
        self._database.execute("DELETE FROM uploads WHERE finished IS NOT NULL")
        rows = self._database.execute("SELECT id FROM uploads")
        known = {row["id"] for row in rows}
        for path in list(self._folder.iterdir()):
            if path.name.partition(".")[0] not in known:
                path.unlink()

    def _remove_files(self, upload: Upload) -> None:
        self._path(upload).unlink(missing_ok=True)
        for path in self._folder.glob(f"{upload.id}.*"):
            path.unlink(missing_ok=True)


def _is_in_parts(upload_id: str) -> bool:
    return upload_id.startswith(_PARTS)


def _no_upload(upload_id: str) -> ApiError:
    return ApiError(404, f"There is no upload {upload_id}.", reason="NoSuchUpload")
