"""Objects on disk: stored whole or not at all, and still there after a restart.

Records and small contents are rows of the database; larger contents are files named by generation. In a
bucket with versioning, what is replaced or deleted becomes noncurrent: a row of another table.
resources.py turns an object into an answer.
"""

import io
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from localcloud.messages import ApiError
from localcloud.rights.callers import need
from localcloud.rights.resources import bucket_name, object_name
from localcloud.storage.bucket_settings import is_versioned, retention_seconds
from localcloud.storage.buckets import Buckets
from localcloud.storage.content import Content, Draft, link_or_copy
from localcloud.storage.database import Database
from localcloud.storage.preconditions import NO_CONDITIONS, Preconditions
from localcloud.storage.rules import check_object_name

# All columns except the content, which a listing must not read.
_RECORD_COLUMNS = (
    "bucket, name, generation, metageneration, size, crc32c, md5, component_count, "
    "created_us, updated_us, properties"
)

_WHERE = "WHERE bucket = ? AND name = ? AND generation = ?"


@dataclass(frozen=True)
class ObjectRecord:
    """The record of an object; times are microseconds since 1970."""

    bucket: str
    name: str
    generation: int  # unique in a store and never reused
    metageneration: int
    size: int
    crc32c: str
    md5: str | None
    component_count: int | None
    created_us: int
    updated_us: int
    properties: dict[str, Any]  # what the client may set: contentType, metadata, ...
    deleted_us: int | None = None  # since when it is noncurrent; None for the live version

    @property
    def table(self) -> str:
        return "objects" if self.deleted_us is None else "noncurrent"


@dataclass(frozen=True)
class Target:
    """The object that a request names; without a `generation`, the current one."""

    bucket: str
    name: str
    generation: int | None = None
    conditions: Preconditions = NO_CONDITIONS


class Objects:
    """The objects of all buckets. Only one process at a time may use a folder."""

    def __init__(self, folder: Path, database: Database, buckets: Buckets):
        self._contents = folder / "contents"
        self._incoming = folder / "incoming"
        for each in (self._contents, self._incoming):
            each.mkdir(parents=True, exist_ok=True)
        self.observers: list[Callable[[ObjectRecord], None]] = []  # called with each object that is finalized
        self._database = database
        self._buckets = buckets
        self._last_generation = self._highest_generation()
        self._remove_leftovers()

    def draft(self) -> Draft:
        return Draft(self._incoming)

    def need_to_write(self, target: Target) -> None:
        """Refuse a caller who may not create the target, or not replace the object that has its name.

        Raises
        ------
        ApiError
            403. Versioning changes nothing: what is replaced must be one's own to delete. That this is asked
            before the preconditions is not documented; so a caller who may only create gets a 403 for
            ifGenerationMatch=0, where the service might answer 412.
        """
        name = object_name(target.bucket, target.name)
        need("storage.objects.create", name)
        if self._find(replace(target, generation=None)):
            need("storage.objects.delete", name)

    def put(
        self,
        target: Target,
        content: Content,
        properties: dict[str, Any],
        component_count: int | None = None,
    ) -> ObjectRecord:
        """Store `content` as the target, replacing any object of that name."""
        check_object_name(target.name)
        with self._database.lock:
            keeps_old = is_versioned(self._buckets.get(target.bucket))
            self.need_to_write(target)
            replaced = self._find(replace(target, generation=None))
            target.conditions.check(replaced)
            if replaced:
                self._make_noncurrent(replaced) if keeps_old else self._check_retention(replaced)
            record = self._new_record(target, content, properties, component_count)
            if content.path:
                # This comes before the row, so that no row is ever without its content.
                os.replace(content.path, self._content_path(record))
            self._save(record, content.inline)
            if replaced and not keeps_old:
                self._content_path(replaced).unlink(missing_ok=True)
        for observe in self.observers:
            observe(record)
        return record

    def get(self, target: Target) -> ObjectRecord:
        record = self._need(target)
        target.conditions.check(record, is_read=True)
        return record

    def open(self, target: Target) -> tuple[ObjectRecord, BinaryIO]:
        """Return an object and its content, which stays readable when the object is replaced."""
        with self._database.lock:
            record = self.get(target)
            inline = self._inline(record)
            if inline is not None:
                return record, io.BytesIO(inline)
            return record, open(self._content_path(record), "rb")

    def duplicate(self, target: Target) -> tuple[ObjectRecord, Content]:
        """Return an object and a copy of its content, to be stored elsewhere or discarded."""
        with self._database.lock:
            record = self._need(target)
            target.conditions.check(record)
            inline = self._inline(record)
            if inline is not None:
                path = None
            else:
                path = self._incoming / secrets.token_hex(16)
                link_or_copy(self._content_path(record), path)
            return record, Content(record.size, record.crc32c, record.md5, inline, path)

    def change(self, target: Target, change: Callable[[dict[str, Any]], dict[str, Any]]) -> ObjectRecord:
        """Replace an object's properties with what `change` returns, as its next metageneration."""
        with self._database.lock:
            found = self._need(target)
            target.conditions.check(found)
            self._database.execute(
                f"UPDATE {found.table} SET properties = ?, updated_us = ?, "
                f"metageneration = metageneration + 1 {_WHERE}",
                (json.dumps(change(found.properties)), now_us(), *_key(found)),
            )
            return self._need(target)

    def delete(self, target: Target) -> None:
        """Delete an object; for good if the target names its generation."""
        with self._database.lock:
            found = self._need(target)
            target.conditions.check(found)
            keeps_old = target.generation is None and is_versioned(self._buckets.get(target.bucket))
            self._make_noncurrent(found) if keeps_old else self._check_retention(found)
            self._database.execute(f"DELETE FROM {found.table} {_WHERE}", _key(found))
            if not keeps_old:
                self._content_path(found).unlink(missing_ok=True)

    def versions_in_order(self, bucket: str, start: str, limit: int) -> list[ObjectRecord]:
        """Return all versions of up to `limit` names in order, from `start` on."""
        both = " UNION ALL ".join(
            f"SELECT {_RECORD_COLUMNS}, {deleted} AS deleted_us FROM {table} WHERE bucket = ? AND name >= ?"
            for table, deleted in (("objects", "NULL"), ("noncurrent", "deleted_us"))
        )
        rows = self._database.execute(
            f"WITH both AS ({both}) SELECT * FROM both WHERE name IN "
            "(SELECT DISTINCT name FROM both ORDER BY name LIMIT ?) ORDER BY name, generation",
            (bucket, start, bucket, start, limit),
        )
        return [_record(row) for row in rows]

    def in_order(self, bucket: str, start: str, limit: int) -> list[ObjectRecord]:
        """Return up to `limit` live objects in the order of their names, from `start` on."""
        rows = self._database.execute(
            f"SELECT {_RECORD_COLUMNS} FROM objects WHERE bucket = ? AND name >= ? ORDER BY name LIMIT ?",
            (bucket, start, limit),
        )
        return [_record(row) for row in rows]

    def forget_all(self) -> None:
        with self._database.lock:
            self._database.execute("DELETE FROM objects")
            self._database.execute("DELETE FROM noncurrent")
            _remove_files(self._contents.iterdir())

    # The lock must be held for all methods below.

    def _find(self, target: Target) -> ObjectRecord | None:
        """Return the version that a target names."""
        where = "WHERE bucket = ? AND name = ?"
        names: tuple[Any, ...] = (target.bucket, target.name)
        live = self._database.execute(f"SELECT {_RECORD_COLUMNS} FROM objects {where}", names)
        if target.generation is None or (live and live[0]["generation"] == target.generation):
            return _record(live[0]) if live else None
        columns = f"{_RECORD_COLUMNS}, deleted_us"
        old = self._database.execute(
            f"SELECT {columns} FROM noncurrent {where} AND generation = ?", (*names, target.generation)
        )
        return _record(old[0]) if old else None

    def _need(self, target: Target) -> ObjectRecord:
        check_object_name(target.name)
        record = self._find(target)
        if record is None:
            self._buckets.need(target.bucket)
            # Who may not list a bucket learns nothing of what is not in it: a 403 instead of the 404. Google
            # lists both codes, and users report when which comes: googleapis/google-api-php-client#1791.
            need("storage.objects.list", bucket_name(target.bucket))
            raise ApiError(404, f"No such object: {target.bucket}/{target.name}")
        return record

    def _inline(self, record: ObjectRecord) -> bytes | None:
        rows = self._database.execute(f"SELECT inline FROM {record.table} {_WHERE}", _key(record))
        return rows[0]["inline"]

    def _make_noncurrent(self, record: ObjectRecord) -> None:
        columns = f"{_RECORD_COLUMNS}, inline"
        self._database.execute(
            f"INSERT OR REPLACE INTO noncurrent ({columns}, deleted_us) "
            f"SELECT {columns}, ? FROM objects {_WHERE}",
            (now_us(), *_key(record)),
        )

    def _check_retention(self, record: ObjectRecord) -> None:
        """Refuse to remove an object that the bucket's retention policy protects."""
        kept_us = retention_seconds(self._buckets.get(record.bucket)) * 1_000_000
        if record.created_us + kept_us > now_us():
            message = (
                f"Object '{record.bucket}/{record.name}' is subject to bucket's retention policy or object "
                "retention and cannot be deleted or overwritten until its retention period has passed."
            )
            raise ApiError(403, message, reason="retentionPolicyNotMet")

    def _new_record(self, target, content, properties, component_count) -> ObjectRecord:
        now = now_us()
        self._last_generation = max(now, self._last_generation + 1)
        return ObjectRecord(
            bucket=target.bucket,
            name=target.name,
            generation=self._last_generation,
            metageneration=1,
            size=content.size,
            crc32c=content.crc32c,
            md5=content.md5,
            component_count=component_count,
            created_us=now,
            updated_us=now,
            properties=properties,
        )

    def _save(self, record: ObjectRecord, inline: bytes | None) -> None:
        values = {**vars(record), "properties": json.dumps(record.properties)}
        del values["deleted_us"]
        self._database.execute(
            f"INSERT OR REPLACE INTO objects ({_RECORD_COLUMNS}, inline) VALUES ({'?, ' * len(values)}?)",
            (*values.values(), inline),
        )

    def _content_path(self, record: ObjectRecord) -> Path:
        return self._contents / str(record.generation)

    def _highest_generation(self) -> int:
        rows = [
            *self._database.execute("SELECT max(generation) AS highest FROM objects"),
            *self._database.execute("SELECT max(generation) AS highest FROM noncurrent"),
        ]
        return max(row["highest"] or 0 for row in rows)

    def _remove_leftovers(self) -> None:
        """Remove what a crash left: partial uploads, and contents without a row."""
        rows = self._database.execute(
            "SELECT generation FROM objects WHERE inline IS NULL "
            "UNION SELECT generation FROM noncurrent WHERE inline IS NULL"
        )
        wanted = {str(row["generation"]) for row in rows}
        _remove_files(path for path in self._contents.iterdir() if path.name not in wanted)
        _remove_files(self._incoming.iterdir())


def now_us() -> int:
    return time.time_ns() // 1000


def _key(record: ObjectRecord) -> tuple[str, str, int]:
    return record.bucket, record.name, record.generation


def _record(row) -> ObjectRecord:
    return ObjectRecord(**{**dict(row), "properties": json.loads(row["properties"])})


def _remove_files(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink(missing_ok=True)
