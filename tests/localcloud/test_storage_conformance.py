"""The emulated Cloud Storage does what the documentation of the real one says."""

import pytest

from tests.conformance.storage_checks import CHECKS, LISTING_CHECKS, upload_many


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_storage(check, client, bucket):
    check(client, bucket)


@pytest.fixture(scope="module")
def bucket_of_many(client):
    bucket = client.create_bucket("bucket-of-many")
    upload_many(bucket)
    return bucket


@pytest.mark.parametrize("check", LISTING_CHECKS, ids=lambda check: check.__name__)
def test_storage_lists(check, client, bucket_of_many):
    check(client, bucket_of_many)
