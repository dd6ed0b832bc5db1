"""The engine's draws follow the exact law, over many more draws than in tests/unit/test_exact_draws.py.

By hand, faults were planted in binomial.py. The short test sees candidates in doubt that are drawn anew. Only
this one sees a quick test with 3.0 instead of 4.2 in it.
"""

from tests.engine_draws import p_values, p_values_of_splits
from tests.exact_laws import FALSE_ALARM, doubt, hard_points, points


def test_a_million_draws_follow_the_binomial_law_at_each_point():
    assert doubt(p_values(points(), 1_000_000, seed=10_000)) > FALSE_ALARM


def test_4_million_draws_follow_it_where_most_candidates_are_in_doubt():
    assert doubt(p_values(hard_points(), 4_000_000, seed=20_000)) > FALSE_ALARM


def test_the_test_sees_a_chance_that_is_a_thousandth_off():
    assert doubt(p_values(hard_points(), 400_000, seed=30_000, bias=1.001)) < 1e-12


def test_many_splits_follow_the_multinomial_law():
    assert doubt(p_values_of_splits(400_000, stream=9)) > FALSE_ALARM
