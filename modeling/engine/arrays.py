"""The arrays that the kernel works on, in named tuples; few, as a call passes 7 numbers or more for each.

Tables of whole numbers are int64; their columns have names below. Rows of people are numbered
compartment * groups + group, rows of moved people edge * groups + group.
"""

from typing import NamedTuple

import numpy as np

from modeling.engine.machine_code import array

# columns of Model.sources: kind, first edge; the last row only ends the edges of the one before
KIND, FIRST_EDGE = range(2)
FIXED, BY_PARTICLE, OVER_TIME = range(3)  # kinds of a source or coefficient: what its values differ by
# columns of Model.edges; the last row only ends the terms of the one before
SOURCE, TARGET, FIRST_TERM, SPLIT_ROW = range(4)
# columns of Model.terms
TERM, COEFFICIENT, MEDIATOR = range(3)
SPONTANEOUS, MEDIATED, VACCINATION = range(3)
# columns of Model.draws
FROM, TO = range(2)
# columns of Batch.coefficients, beside KIND
ROW, NUM_ROWS, OFFSET, PARTICLE_STRIDE, POINT_STRIDE, GROUP_STRIDE = range(1, 7)
# columns of Batch.starts
FIRST_POINT, NUM_STEPS = range(2)
# columns of Out.ends
STATUS, STEPS, FIRST_UNUSED = range(3)
END_NOW = 2**62  # position of the next particle, of a simulation that is interrupted
WHOLE, STOPPED = 1, 2  # status of a particle; 0 for one that was not simulated
# rows of Lanes.wholes; the first number of each coefficient follows
POSITION, START, POINT, MATRIX, DUE, SHORT_SINCE, BASE = range(7)

WHOLES, WHOLES_2, UNSIGNED = array("int64"), array("int64", 2), array("uint64")
REALS, REALS_2, REALS_3 = array("float64"), array("float64", 2), array("float64", 3)
TILE = 5120  # entries of the sampler; its scratch is about 1 MB, the second-level cache of a core
TILE_ROW = TILE + 64  # with room for whole vectors
FLOATS, INTEGERS = 14 * TILE_ROW, 10 * TILE_ROW  # rows of scratch: binomial.py
_CACHE_LINE = 64  # bytes; a vector that crosses two lines takes twice as long to read


class Model(NamedTuple):
    """The structure of a model.

    Attributes
    ----------
    groups : int
    sources : shape (sources + 1, 2)
    edges : shape (edges + 1, 4)
        Sorted by source. SPLIT_ROW is the first row of the chance to take an edge; -1 for a source's last.
    terms : shape (terms, 3)
        Sorted by edge: TERM is SPONTANEOUS, MEDIATED or VACCINATION.
    draws : shape (rows of chances, 2)
        The row of people that a row draws from (for leaving), or of moved people (for an edge), and the row
        of moved people that it writes.
    levels : shape (levels + 1,)
        First rows of chances: those to leave a source come first, then those of the first edge of each source
        that has several, then of the second, ...
    mediators : shape (mediators,)
        Compartments.
    eligible : shape (eligible compartments,)
        Compartments that share the doses; none without a vaccination.
    contacts : float64, shape (matrices, groups, groups)
        Contacts of a with b, divided by the people in b [1/day].
    """

    groups: int
    sources: WHOLES_2
    edges: WHOLES_2
    terms: WHOLES_2
    draws: WHOLES_2
    levels: WHOLES
    mediators: WHOLES
    eligible: WHOLES
    contacts: REALS_3


class Batch(NamedTuple):
    """The particles of a batch: keys, first days, values.

    Attributes
    ----------
    points_a_step : int
    particles : uint64, shape (particles,)
        Their numbers in the random stream, below 2**32.
    start : shape (particles,)
        Number of its first day among the different ones; -1 for a particle that is not simulated.
    initial : float64, shape (particles or 1, compartments * groups)
        People on the first day.
    coefficients : shape (coefficients, 7)
        Rates times delta_t_days: where in `values` each begins, and its strides; 0 where it does not vary.
    values : float64
    starts : shape (starts, 2)
    column : shape (starts, steps)
        Column of the date that a step ends; -1 for none.
    due : shape (starts, steps)
        The next step, this one or a later one, that ends a date, or is the last.
    doses : float64, shape (starts, steps, groups)
    matrix_of_point : shape (points or 1,)
    """

    points_a_step: int
    particles: UNSIGNED
    start: WHOLES
    initial: REALS_2
    coefficients: WHOLES_2
    values: REALS
    starts: WHOLES_2
    column: WHOLES_2
    due: WHOLES_2
    doses: REALS_3
    matrix_of_point: WHOLES


class Look(NamedTuple):
    """What is observed, and the distance at which a particle stops.

    Attributes
    ----------
    first_of_people, first_of_moved : shape (observables + 1,)
        Each observable is the sum of rows of people, or of moved people.
    people, moved : shape (summands,)
    power : int
        1 for absolute differences, 2 for squares, 0 for no distance.
    most : float
    observed, weights : float64, shape (observables of moved people, dates)
    cost_before : float64, shape (starts,)
        Of dates on which nothing is simulated.
    """

    first_of_people: WHOLES
    people: WHOLES
    first_of_moved: WHOLES
    moved: WHOLES
    power: int
    most: float
    observed: REALS_2
    weights: REALS_2
    cost_before: REALS


class Out(NamedTuple):
    """Results by particle.

    Attributes
    ----------
    people, moved : float64, shape (particles, observables, dates)
    ends : shape (particles, 3)
        STATUS; STEPS simulated; FIRST_UNUSED, the first step with more doses than people, or -1.
    unused : float64, shape (particles,)
        Doses that were due when fewer people were eligible.
    """

    people: REALS_3
    moved: REALS_3
    ends: WHOLES_2
    unused: REALS


class Rows(NamedTuple):
    """First rows of Lanes.reals."""

    people: int
    moved: int
    counted: int  # observables since the last reported date
    coefficient: int
    force: int
    vaccination: int
    chance: int  # at most 1/2
    log_rest: int  # -log(1 - chance)
    flip: int  # 1 where the chance is that of the rest
    hazard: int  # of an edge in a step
    rest: int  # hazard of the edges after it
    eligible: int
    unused: int
    cost: int
    end: int


class Law(NamedTuple):
    """The laws of the cells of a tile, Binomial(n, p), as rows over lanes.

    Attributes
    ----------
    reals : float64, shape (rows, lanes or more)
    people, chance : shape (cells of a tile,)
        Rows of n, and of p, which is at most 1/2.
    to_log_rest : int
        From a row of p to that of -log(1 - p).
    """

    reals: REALS_2
    people: WHOLES
    chance: WHOLES
    to_log_rest: int


class Lanes(NamedTuple):
    """The state of one thread: particles in lanes, 2**shift of them.

    Attributes
    ----------
    shift, width : int
    rows : Rows
    reals : float64, shape (rows, lanes + a cache line)
    wholes : int64, shape (BASE + coefficients, lanes + a cache line)
        POSITION is -1 for an idle lane. DUE is the next step that ends a reported date, or is the last.
    particle, step : uint64, shape (lanes,)
    due : shape (lanes,)
        Lanes whose step has ended a date, or was the last.
    present : shape (lanes,)
        Contact matrices of the lanes, each once.
    is_moving : shape (rows of moved people,)
        0 where nobody moves in this step.
    has_flips : shape (rows of chances,)
    law : Law
        Of the rows that are drawn together.
    sites : uint64, shape (cells of a tile,)
        Their numbers among the rows of chances.
    floats, integers : float64 and uint64
        Scratch of the sampler.
    """

    shift: int
    width: int
    rows: Rows
    reals: REALS_2
    wholes: WHOLES_2
    particle: UNSIGNED
    step: UNSIGNED
    due: WHOLES
    present: WHOLES
    is_moving: WHOLES
    has_flips: WHOLES
    law: Law
    sites: UNSIGNED
    floats: REALS
    integers: UNSIGNED


def new_lanes(shift: int, model: Model, batch: Batch, look: Look) -> Lanes:
    """Return the lanes of a thread, all zero."""
    width, groups, chances = 1 << shift, model.groups, len(model.draws)
    # rows of 4 KB without padding: a store to one would look like one to the next (pages of 4 KB)
    padded = width + _CACHE_LINE // 8
    sizes = {
        "people": batch.initial.shape[1],
        "moved": (len(model.edges) - 1) * groups,
        "counted": len(look.first_of_moved) - 1,
        "coefficient": int(batch.coefficients[:, NUM_ROWS].sum()),
        "force": len(model.mediators) * groups,
        "vaccination": groups,
        "chance": chances,
        "log_rest": chances,
        "flip": chances,
    }
    first = np.cumsum([0, *sizes.values(), 1, 1, 1, 1, 1]).tolist()
    reals, cells = _aligned((first[-1], padded), np.float64), TILE >> shift
    nothing = np.zeros(cells, dtype=np.int64)
    return Lanes(
        shift=shift,
        width=width,
        rows=Rows(*first),
        reals=reals,
        wholes=_aligned((BASE + len(batch.coefficients), padded), np.int64),
        particle=_aligned((width,), np.uint64),
        step=_aligned((width,), np.uint64),
        due=np.zeros(width, dtype=np.int64),
        present=np.zeros(width, dtype=np.int64),
        is_moving=np.zeros(sizes["moved"], dtype=np.int64),
        has_flips=np.zeros(chances, dtype=np.int64),
        law=Law(reals, nothing, nothing.copy(), chances),
        sites=np.zeros(cells, dtype=np.uint64),
        floats=_aligned((FLOATS,), np.float64),
        integers=_aligned((INTEGERS,), np.uint64),
    )


def _aligned(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Return an array of zeros that begins on a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + _CACHE_LINE, dtype=np.uint8)
    begin = -memory.ctypes.data % _CACHE_LINE
    return memory[begin : begin + size].view(dtype).reshape(shape)
