"""What Cloud Storage does with large files and many objects, as documented: checks with its client library.

Each check gets a client and an empty bucket of its own; those of LISTING_CHECKS share one that holds MANY
small objects.
"""

import hashlib
import io
import os
import tempfile
from pathlib import Path

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage import transfer_manager

from tests.conformance.checks import collected_in, in_threads, names

MANY = 5000
MIB = 2**20

CHECKS = []
LISTING_CHECKS = []
check = collected_in(CHECKS)
listing_check = collected_in(LISTING_CHECKS)


def upload_many(bucket):
    """MANY small objects from 8 threads, many/00000.json and on."""

    def upload(number):
        bucket.blob(f"many/{number:05d}.json").upload_from_string(f'{{"i":{number}}}')

    in_threads(upload, range(MANY))


# -- uploads in several requests --


@check
def a_large_file_is_uploaded_resumably(client, bucket):
    data = os.urandom(12 * MIB)
    bucket.blob("big").upload_from_file(io.BytesIO(data), size=len(data))

    found = bucket.blob("big").download_as_bytes()
    assert hashlib.sha256(found).digest() == hashlib.sha256(data).digest()


@check
def a_file_of_unknown_size_is_uploaded_in_chunks(client, bucket):
    data = os.urandom(5 * MIB)
    bucket.blob("big", chunk_size=MIB).upload_from_file(io.BytesIO(data))

    assert bucket.blob("big", chunk_size=MIB).download_as_bytes() == data


@check
def a_resumable_upload_keeps_its_precondition(client, bucket):
    bucket.blob("big").upload_from_string("there")
    data = b"x" * 9 * MIB

    with pytest.raises(PreconditionFailed):
        bucket.blob("big").upload_from_file(io.BytesIO(data), size=len(data), if_generation_match=0)
    assert bucket.blob("big").download_as_bytes() == b"there"


@check
def the_transfer_manager_moves_many_files(client, bucket):
    with tempfile.TemporaryDirectory() as folder:
        up, down = Path(folder, "up"), Path(folder, "down")
        up.mkdir()
        files = {str(number): str(number) * 100 for number in range(40)}
        for name, text in files.items():
            (up / name).write_text(text)
        how = {"worker_type": "thread", "max_workers": 8, "raise_exception": True}

        transfer_manager.upload_many_from_filenames(
            bucket, list(files), source_directory=str(up), blob_name_prefix="tm/", **how
        )
        transfer_manager.download_many_to_path(
            bucket,
            list(files),
            destination_directory=str(down),
            blob_name_prefix="tm/",
            create_directories=True,
            **how,
        )

        assert {path.name: path.read_text() for path in down.iterdir()} == files


@check
def the_transfer_manager_uploads_one_file_in_parts(client, bucket):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "big")
        path.write_bytes(os.urandom(6 * MIB))

        transfer_manager.upload_chunks_concurrently(
            str(path), bucket.blob("parts"), chunk_size=2 * MIB, max_workers=3, worker_type="thread"
        )

        assert bucket.blob("parts").download_as_bytes() == path.read_bytes()


# -- many --


@check
def what_is_deleted_is_gone(client, bucket):
    bucket.blob("x").upload_from_string("1")
    bucket.blob("x").delete()

    with pytest.raises(NotFound):
        bucket.blob("x").delete()


@check
def a_batch_deletes_fifty(client, bucket):
    for number in range(50):
        bucket.blob(f"bd/{number}").upload_from_string("x")

    with client.batch():
        for number in range(50):
            bucket.blob(f"bd/{number}").delete()

    assert not list(client.list_blobs(bucket))


@check
def eight_threads_write_at_once(client, bucket):
    def write(thread):
        for number in range(60):
            bucket.blob(f"t/{thread}/{number}").upload_from_string(b"y" * 200)

    in_threads(write, range(8))

    found = names(client.list_blobs(bucket))
    assert len(found) == 480
    assert found == sorted(found)


@check
def a_delimiter_folds_names_into_prefixes(client, bucket):
    for name in ("a/1", "a/2", "c/3", "top"):
        bucket.blob(name).upload_from_string("x")

    listing = client.list_blobs(bucket, delimiter="/")

    assert names(listing) == ["top"]
    assert listing.prefixes == {"a/", "c/"}


# -- a bucket of many --


@listing_check
def a_listing_has_all(client, bucket):
    found = names(client.list_blobs(bucket, prefix="many/"))

    assert found == [f"many/{number:05d}.json" for number in range(MANY)]


@listing_check
def a_listing_comes_in_pages(client, bucket):
    pages = client.list_blobs(bucket, prefix="many/", page_size=500).pages

    assert [page.num_items for page in pages] == [500] * (MANY // 500)


@listing_check
def a_listing_ends_at_its_maximum(client, bucket):
    assert len(list(client.list_blobs(bucket, prefix="many/", max_results=10))) == 10


@listing_check
def a_listing_has_only_the_fields_asked_for(client, bucket):
    found = list(client.list_blobs(bucket, prefix="many/0000", fields="items(name),nextPageToken"))

    assert len(found) == 10
    assert found[0]._properties == {"name": "many/00000.json"}


@listing_check
def a_listing_begins_and_ends_at_offsets(client, bucket):
    found = client.list_blobs(
        bucket, prefix="many/", start_offset="many/00010.json", end_offset="many/00020.json"
    )

    assert names(found) == [f"many/{number:05d}.json" for number in range(10, 20)]


@listing_check
def a_listing_matches_a_glob(client, bucket):
    found = client.list_blobs(bucket, match_glob="many/*1.json")

    assert names(found) == [f"many/{number:05d}.json" for number in range(1, MANY, 10)]
