"""Finished panels wait in a file, in the order of their populations, and take next to no memory."""

import tracemalloc

import numpy as np

from modeling.outputs.headline import MOST_ROWS, headline, left_out
from modeling.outputs.panels import Panels
from tests.panels import calibration, simulation

KIB = 1024


def kept(count: int) -> Panels:
    panels = Panels()
    for number in range(count):
        panels.put(calibration(f"P{number:04}"))
    return panels


def test_panels_come_back_whole_in_their_order_as_often_as_asked():
    panels = kept(3)

    pairs = [(first.population, second.population) for first in panels for second in panels]

    assert len(panels) == 3
    assert pairs == [(f"P{a:04}", f"P{b:04}") for a in range(3) for b in range(3)]
    first = next(iter(panels))
    assert np.array_equal(first.series[0].projection.curves, calibration().series[0].projection.curves)
    assert first.generations == calibration().generations


def test_a_later_panel_of_a_population_takes_the_place_of_the_earlier_one():
    panels = kept(2)

    panels.put(simulation("P0000"))

    assert [(panel.population, panel.kind) for panel in panels] == [
        ("P0000", "simulation"),
        ("P0001", "calibration"),
    ]


def test_a_thousand_populations_take_less_than_a_mebibyte():
    one = kept(1)  # imports and caches are not what is measured
    tracemalloc.start()
    panels = kept(1_000)
    rows = headline(panels)
    not_shown = left_out(panels, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(one) == 1
    assert len(rows) == MOST_ROWS
    assert not_shown == 1_000 - len({row["population"] for row in rows})
    assert peak < 1_000 * KIB
