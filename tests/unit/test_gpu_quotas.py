"""Quotas of the project that are too small for the GPU lane."""

import pytest

from ops.environment import read_settings
from ops.gpu.quotas import CPU, GIB, MEMORY, gpu_quota, gpus_allowed, limit_of, shortages


@pytest.mark.parametrize(("value", "gpus"), [(3, 3), (3000, 3), (0, 0), (-1, None), (None, None)])
def test_a_quota_of_gpus_is_read_in_gpus_and_in_thousandths(value, gpus):
    settings = read_settings({})
    quota = gpu_quota(settings)

    assert quota == "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion"
    assert gpus_allowed({} if value is None else {quota: value}, quota) == gpus


@pytest.mark.parametrize(
    ("details", "limit"),
    [
        ({"value": "3"}, 3),
        ({"value": "-1"}, -1),
        ({"value": 3000}, 3000),
        ({"value": "2.5"}, None),
        ({}, None),
    ],
)
def test_a_limit_that_is_no_whole_number_is_not_known(details, limit):
    assert limit_of({"details": details}) == limit


def test_three_instances_of_16_gib_do_not_fit_into_40_gib():
    settings = read_settings({"MAX_INSTANCES": "10", "PREPROCESS_MEMORY": "2Gi"})

    short = list(shortages(settings, {CPU: 20_000, MEMORY: 40 * GIB}))

    assert short == ["inference: 3 x 16 = 48 GiB, but 40 are allowed: GPU_MAX_INSTANCES=2"]
    assert not list(shortages(settings, {CPU: -1, MEMORY: -1}))
    assert not list(shortages(settings, {}))


def test_without_zonal_redundancy_another_quota_counts():
    assert gpu_quota(read_settings({"GPU_ZONAL_REDUNDANCY": "true"})) == "NvidiaL4GpuAllocPerProjectRegion"
