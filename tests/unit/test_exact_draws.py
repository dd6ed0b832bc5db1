"""The engine's draws follow the exact binomial and multinomial law; its random numbers are Philox4x32-10.

tests/long/test_exact_draws.py asks the same of many more draws.
"""

import itertools

import numpy as np
import pytest

from modeling.engine.draws import draws
from modeling.engine.philox import first_uniforms, philox4x32, shared_words, uniforms
from tests.engine_draws import leaving_alone, p_values, p_values_of_splits, simulated_moves
from tests.exact_laws import FALSE_ALARM, doubt, points

COUNT = 50_000
# Random123, kat_vectors: philox4x32 10: counter, key, words
KNOWN = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_random_numbers_are_those_of_philox(counter, key, words):
    found = philox4x32(*(np.uint64(word) for word in (*counter, *key)))

    assert [int(word) for word in found] == words


def test_draws_follow_the_binomial_law_from_nobody_to_100_million_people():
    assert doubt(p_values(points(), COUNT, seed=1_000)) > FALSE_ALARM


def test_the_test_of_the_law_sees_a_chance_that_is_1_percent_off():
    assert doubt(p_values(points(), COUNT // 5, seed=2_000, bias=1.01)) < 1e-12


def test_a_draw_has_numbers_of_its_own_by_stream_particle_step_site_and_attempt():
    words = [np.uint64(word) for word in (0, 1, 2, 255, 2**31, 2**32 - 1)]
    places = list(itertools.product(words, repeat=4))  # particle, step, site, attempt

    found = [uniforms(np.uint64(key), *place) for key in (5, 5 + 2**32) for place in places]

    assert len(set(found)) == len(found)
    assert all(0 < number < 1 for pair in found for number in pair)
    first = [philox4x32(*place, np.uint64(5), np.uint64(0))[0] for place in places]
    assert [int(u * 2**32) for u, _ in found[: len(places)]] == [int(word) for word in first]


def test_a_first_attempt_has_the_same_numbers_when_the_rounds_that_sites_share_are_done_once():
    words = [np.uint64(word) for word in (0, 1, 255, 2**31, 2**32 - 1)]
    keys = [np.uint64(word) for word in (0, 5, 2**32 - 1, 2**63 + 2**31, 2**64 - 1)]
    for key, particle, step, site in itertools.product(keys, words, words, words):
        shared = (np.uint64(word) for word in shared_words(key, particle))
        found = first_uniforms(key, *shared, step, site)

        assert found == uniforms(key, particle, step, site, np.uint64(0))


@pytest.mark.parametrize("n", [0, 1, 29, 2**24 + 1, 10**8])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nobody_leaves_with_chance_0_and_everybody_with_chance_1(n, p):
    assert (draws(n, p, 1_000, 5) == n * p).all()


def test_another_key_gives_other_draws_and_the_same_key_the_same():
    one, again, other = (draws(1_000, 0.3, 1_000, key) for key in (1, 1, 2))

    assert np.array_equal(one, again)
    assert 0 < (one == other).mean() < 0.1


# -- one source, several targets


def test_people_split_over_targets_by_the_multinomial_law():
    assert doubt(p_values_of_splits(COUNT, stream=7)) > FALSE_ALARM


def test_the_test_of_splits_sees_a_rate_that_is_1_percent_off():
    assert doubt(p_values_of_splits(COUNT, stream=7, bias=1.01)) < 1e-12


def test_compartments_age_groups_steps_and_streams_are_drawn_independently():
    """What is left of each count when its mean is subtracted is correlated with no other."""
    particles, days, people, rate = 20_000, 3, 1_000, 0.2
    of = leaving_alone(people, rate)
    columns = []
    for stream in (1, 2):
        moved_on = simulated_moves(of, particles, days, stream).astype(float)
        present = people - np.cumsum(moved_on, axis=2) + moved_on
        columns.append((moved_on + present * np.expm1(-rate)).reshape(particles, -1))

    correlations = np.corrcoef(np.hstack(columns).T)

    pairs = correlations[np.triu_indices(len(correlations), 1)]
    assert len(pairs) == 36 * 35 // 2
    assert abs(pairs).max() * np.sqrt(particles) < 4.5
