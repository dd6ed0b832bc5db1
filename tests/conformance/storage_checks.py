"""What Cloud Storage does with single objects, as documented: checks with its client library.

Each check gets a client and an empty bucket of its own. They say nothing of how the service is made, so they
may be run against any: the emulator, or a real bucket.
"""

import gzip
import io
import os
import threading

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed

from tests.conformance.checks import collected_in, in_threads, names

CHECKS = []
check = collected_in(CHECKS)

# -- buckets --


@check
def a_bucket_made_is_found(client, bucket):
    assert client.get_bucket(bucket.name).name == bucket.name


@check
def an_upload_into_a_missing_bucket_is_not_found(client, bucket):
    with pytest.raises(NotFound):
        client.bucket(f"{bucket.name}-missing").blob("x").upload_from_string("1")


@check
def a_listing_of_a_missing_bucket_is_not_found(client, bucket):
    with pytest.raises(NotFound):
        list(client.list_blobs(f"{bucket.name}-missing"))


@check
def a_bucket_takes_labels_and_lifecycle_rules(client, bucket):
    found = client.get_bucket(bucket.name)
    found.labels = {"a": "b"}
    found.patch()
    found.add_lifecycle_delete_rule(age=3)
    found.patch()

    again = client.get_bucket(bucket.name)

    assert again.labels == {"a": "b"}
    assert [rule["action"]["type"] for rule in again.lifecycle_rules] == ["Delete"]


# -- uploads and downloads --


@check
def text_comes_back(client, bucket):
    blob = bucket.blob("a/b.txt")
    blob.upload_from_string("hello")

    assert blob.download_as_bytes() == b"hello"
    blob.reload()
    assert (blob.size, blob.content_type) == (5, "text/plain")
    assert blob.crc32c == "mnG7TA=="
    assert blob.md5_hash == "XUFAKrxLKna5cZ2REBfFkg=="
    assert blob.generation
    assert blob.etag


@check
def a_file_comes_back(client, bucket):
    bucket.blob("f").upload_from_file(io.BytesIO(b"x" * 1000), content_type="application/x")

    assert bucket.blob("f").download_as_bytes() == b"x" * 1000


@check
def a_download_of_what_is_missing_is_not_found(client, bucket):
    with pytest.raises(NotFound, match="No such object"):
        bucket.blob("nope").download_as_bytes()


@check
def exists_and_get_blob_tell_what_is_missing(client, bucket):
    bucket.blob("there").upload_from_string("1")

    assert bucket.blob("there").exists()
    assert not bucket.blob("nope").exists()
    assert bucket.get_blob("nope") is None


@check
def a_range_is_downloaded(client, bucket):
    bucket.blob("r").upload_from_string("hello")

    assert bucket.blob("r").download_as_bytes(start=1, end=2) == b"el"


@check
def downloads_are_checked_by_checksum(client, bucket):
    bucket.blob("f").upload_from_string(b"x" * 1000)

    for kind in ("md5", "crc32c", "auto"):
        assert bucket.blob("f").download_as_bytes(checksum=kind) == b"x" * 1000


@check
def uploads_are_checked_by_checksum(client, bucket):
    for kind in ("md5", "crc32c"):
        bucket.blob(kind).upload_from_string(b"abc", checksum=kind)
        assert bucket.blob(kind).download_as_bytes() == b"abc"


@check
def gzip_is_undone_for_a_reader_who_does_not_ask_for_raw_bytes(client, bucket):
    blob = bucket.blob("z.json")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b'{"a":1}'), content_type="application/json")

    found = bucket.get_blob("z.json")

    assert found.content_encoding == "gzip"
    assert found.download_as_bytes() == b'{"a":1}'
    assert found.download_as_bytes(raw_download=True)[:2] == b"\x1f\x8b"


@check
def gzip_bytes_without_content_encoding_stay_as_they_are(client, bucket):
    data = gzip.compress(b"q" * 100)
    bucket.blob("q.json.gz").upload_from_string(data, content_type="application/gzip")

    assert bucket.blob("q.json.gz").download_as_bytes() == data


@check
def bytes_that_look_like_multipart_stay_as_they_are(client, bucket):
    for data in (os.urandom(3000) + b"\r\n\r\n--==\r\n\n\r", b""):
        bucket.blob("bin").upload_from_string(data)
        assert bucket.blob("bin").download_as_bytes() == data


@check
def line_ends_at_the_end_stay_as_they_are(client, bucket):
    for data in (b"\x80\x04abc\n", b"abc\r\n", b"\n", b"\r"):
        bucket.blob("nl").upload_from_string(data)
        assert bucket.blob("nl").download_as_bytes() == data


@check
def a_file_object_is_written_and_read(client, bucket):
    with bucket.blob("w").open("wb") as file:
        file.write(b"1" * 300_000)
        file.write(b"2")

    with bucket.blob("w").open("rb") as file:
        assert len(file.read()) == 300_001


@check
def an_old_generation_is_gone_without_versioning(client, bucket):
    blob = bucket.blob("g")
    blob.upload_from_string("1")
    old = blob.generation
    blob.upload_from_string("2")

    with pytest.raises(NotFound):
        bucket.blob("g", generation=old).download_as_bytes()


# -- names --


@check
def odd_names_are_kept(client, bucket):
    odd = {"o/a b", "o/a#b", "o/a?b", "o/é", "o/a%2Fb", "o/a+b", "o/x=1,y=2"}
    for name in odd:
        bucket.blob(name).upload_from_string(name.encode())

    assert all(bucket.blob(name).download_as_bytes() == name.encode() for name in odd)
    assert set(names(client.list_blobs(bucket, prefix="o/"))) == odd


@check
def a_name_may_be_the_folder_of_another(client, bucket):
    for name, text in (("d", "1"), ("d/e", "2"), ("d/", "")):
        bucket.blob(name).upload_from_string(text)

    assert bucket.blob("d").download_as_bytes() == b"1"
    assert bucket.blob("d/e").download_as_bytes() == b"2"
    assert names(client.list_blobs(bucket)) == ["d", "d/", "d/e"]


# -- preconditions --


@check
def generation_0_refuses_to_replace(client, bucket):
    bucket.blob("p").upload_from_string("first")

    with pytest.raises(PreconditionFailed):
        bucket.blob("p").upload_from_string("second", if_generation_match=0)
    assert bucket.blob("p").download_as_bytes() == b"first"


@check
def generation_0_makes_what_is_missing(client, bucket):
    bucket.blob("new").upload_from_string("n", if_generation_match=0)

    assert bucket.blob("new").exists()


@check
def only_the_current_generation_is_replaced(client, bucket):
    blob = bucket.blob("p")
    blob.upload_from_string("1")
    first = blob.generation
    bucket.blob("p").upload_from_string("2", if_generation_match=first)

    with pytest.raises(PreconditionFailed):
        bucket.blob("p").upload_from_string("3", if_generation_match=first)


@check
def only_the_current_generation_is_deleted(client, bucket):
    bucket.blob("p").upload_from_string("1")

    with pytest.raises(PreconditionFailed):
        bucket.blob("p").delete(if_generation_match=1)
    assert bucket.blob("p").exists()


@check
def of_eight_who_make_the_same_object_one_wins(client, bucket):
    together = threading.Barrier(8)

    def try_to_make(number):
        together.wait()
        try:
            bucket.blob("race").upload_from_string(str(number), if_generation_match=0)
        except PreconditionFailed:
            return None
        return str(number)

    winners = [number for number in in_threads(try_to_make, range(8)) if number is not None]

    assert len(winners) == 1
    assert bucket.blob("race").download_as_text() == winners[0]


# -- metadata --


@check
def metadata_is_kept(client, bucket):
    blob = bucket.blob("m")
    blob.metadata = {"k": "v"}
    blob.cache_control = "no-cache"
    blob.upload_from_string("x", content_type="text/csv")

    found = bucket.get_blob("m")

    assert found.metadata == {"k": "v"}
    assert (found.content_type, found.cache_control) == ("text/csv", "no-cache")


@check
def a_patch_of_metadata_counts_the_metageneration(client, bucket):
    blob = bucket.blob("m")
    blob.upload_from_string("x")
    blob.metadata = {"k": "w"}
    blob.patch()

    found = bucket.get_blob("m")

    assert found.metadata == {"k": "w"}
    assert found.metageneration == 2


# -- copies --


@check
def compose_joins_objects(client, bucket):
    bucket.blob("1").upload_from_string("a")
    bucket.blob("2").upload_from_string("b")

    bucket.blob("o").compose([bucket.blob("1"), bucket.blob("2")])

    assert bucket.blob("o").download_as_bytes() == b"ab"


@check
def compose_keeps_its_precondition(client, bucket):
    bucket.blob("1").upload_from_string("a")
    bucket.blob("o").upload_from_string("there")

    with pytest.raises(PreconditionFailed):
        bucket.blob("o").compose([bucket.blob("1")], if_generation_match=0)
    assert bucket.blob("o").download_as_bytes() == b"there"


@check
def objects_are_rewritten_copied_and_renamed(client, bucket):
    source = bucket.blob("1")
    source.upload_from_string("a")

    bucket.blob("rewritten").rewrite(source)
    bucket.copy_blob(source, bucket, "copied")
    bucket.rename_blob(bucket.blob("copied"), "renamed")

    assert names(client.list_blobs(bucket)) == ["1", "renamed", "rewritten"]
    assert bucket.blob("renamed").download_as_bytes() == b"a"
