"""The emulated Cloud Storage behaves as the real one is documented."""

import pytest
import requests

from tests.conformance.storage_checks import CHECKS, LISTING_CHECKS, MANY, in_threads


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_storage(check, client, bucket):
    check(client, bucket)


@pytest.fixture(scope="module")
def bucket_of_many(client, server):
    """Return a bucket with what upload_many puts into it, by plain HTTP because that is faster."""
    bucket = client.create_bucket("bucket-of-many")

    def upload(first):
        with requests.Session() as session:
            for number in range(first, MANY, 8):
                query = {"uploadType": "media", "name": f"many/{number:05d}.json"}
                url = f"{server}/upload/storage/v1/b/{bucket.name}/o"
                session.post(url, params=query, data=f'{{"i":{number}}}', timeout=10).raise_for_status()

    in_threads(upload, range(8))
    return bucket


@pytest.mark.parametrize("check", LISTING_CHECKS, ids=lambda check: check.__name__)
def test_storage_lists(check, client, bucket_of_many):
    check(client, bucket_of_many)
