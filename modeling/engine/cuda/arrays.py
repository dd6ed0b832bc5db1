"""The arrays of a GPU's lanes, and how large they are."""

from typing import NamedTuple

import numpy as np

from modeling.engine.arrays import BASE, REALS_2, UNSIGNED, WHOLES_2, Batch, Look, Model, Rows


class GpuLanes(NamedTuple):
    """The state of all lanes, with the fields of Lanes that one lane needs.

    Attributes
    ----------
    rows : Rows
        Those that a GPU does not keep have no rows.
    reals : float64, shape (rows, lanes)
    wholes : int64, shape (BASE, lanes)
        POSITION is -1 for an idle lane.
    particle, step : uint64, shape (lanes,)
    """

    rows: Rows
    reals: REALS_2
    wholes: WHOLES_2
    particle: UNSIGNED
    step: UNSIGNED


def new_gpu_lanes(number: int, model: Model, batch: Batch, look: Look) -> GpuLanes:
    """Return a number of idle lanes in host memory, whose pages are not used before they are written."""
    sizes = dict.fromkeys(Rows._fields[:-1], 0) | {
        "people": batch.initial.shape[1],
        "moved": (len(model.edges) - 1) * model.groups,
        "counted": len(look.first_of_moved) - 1,
        "force": len(model.mediators) * model.groups,
        "vaccination": model.groups,
        "unused": 1,
        "cost": 1,
    }
    first = np.cumsum([0, *sizes.values()]).tolist()
    return GpuLanes(
        rows=Rows(*first),
        reals=np.empty((first[-1], number)),
        wholes=np.full((BASE, number), -1, dtype=np.int64),
        particle=np.empty(number, dtype=np.uint64),
        step=np.empty(number, dtype=np.uint64),
    )
