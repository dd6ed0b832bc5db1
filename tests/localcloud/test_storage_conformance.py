"""The emulated Cloud Storage behaves as the real one is documented."""

from http.client import HTTPConnection

import pytest

from tests.conformance import bulk_checks, storage_checks
from tests.conformance.bulk_checks import LISTING_CHECKS, MANY
from tests.conformance.checks import in_threads


@pytest.mark.parametrize(
    "check", [*storage_checks.CHECKS, *bulk_checks.CHECKS], ids=lambda check: check.__name__
)
def test_storage(check, client, bucket):
    check(client, bucket)


@pytest.fixture(scope="module")
def bucket_of_many(client, server):
    """Return a bucket with the objects of upload_many, uploaded without the slower client library."""
    bucket = client.create_bucket("bucket-of-many")

    def upload(first):
        connection = HTTPConnection(server.removeprefix("http://"))
        path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=many/"
        for number in range(first, MANY, 8):
            connection.request("POST", f"{path}{number:05d}.json", f'{{"i":{number}}}')
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
        connection.close()

    in_threads(upload, range(8))
    return bucket


@pytest.mark.parametrize("check", LISTING_CHECKS, ids=lambda check: check.__name__)
def test_storage_lists(check, client, bucket_of_many):
    check(client, bucket_of_many)
