"""The kernel: particles in lanes, one time step after another.

A lane holds one particle at its own time step. One that ends, or whose distance is already too large, makes
room for the next particle, so no lane idles. All draws of a step go through the sampler in tiles
(binomial.py); every other loop runs over the lanes of a row and becomes vector code. A particle's draws
depend on its own number alone, so its result does not depend on its lane, its neighbours or the threads.

arrays.py explains the arrays. Numbers of people are whole numbers in float64, exact below 2**53.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from modeling.engine.arrays import (
    BASE,
    BY_PARTICLE,
    DUE,
    END_NOW,
    FIRST_POINT,
    FIRST_UNUSED,
    FIXED,
    FROM,
    GROUP_STRIDE,
    KIND,
    NUM_ROWS,
    NUM_STEPS,
    OFFSET,
    OVER_TIME,
    PARTICLE_STRIDE,
    POINT,
    POSITION,
    ROW,
    SHORT_SINCE,
    SOURCE,
    START,
    STATUS,
    STEPS,
    STOPPED,
    TARGET,
    TILE,
    TO,
    WHOLE,
)
from modeling.engine.binomial import K, N, draw_tile
from modeling.engine.chances import find_chances, find_forces, find_vaccination, read_coefficients
from modeling.engine.compiled import U64, compiled, inlined, part

# a literal would make numba compile a function again for each of its values
_FIXED, _BY_PARTICLE, _OVER_TIME = np.int64(FIXED), np.int64(BY_PARTICLE), np.int64(OVER_TIME)
_FIRST_LANE, _NONE, _END = U64(0), np.int64(0), np.int64(END_NOW)


@intrinsic
def take_next(typing_context, counter):
    """Add one to the first number of an array, atomically; return what it was."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), generate


@compiled
def run_lanes(model, batch, look, lanes, out, counter, key, is_mean):
    """Simulate the particles of a batch until none is left.

    Parameters
    ----------
    model, batch, look : Model, Batch, Look
    lanes : Lanes
        Of this thread alone.
    out : Out
        Shared by all threads; each particle has its own part.
    counter : ndarray of int64, shape (1,)
        Position of the next particle; shared by all threads. END_NOW and more ends them all at once.
    key : uint64
        Of the random stream.
    is_mean : bool
        Whether each draw returns its mean: deterministic mode.
    """
    _fill_fixed_rows(model, batch, lanes)
    running = 0
    for w in range(lanes.width):
        running += _start(w, model, batch, look, lanes, counter)
    while running and counter[0] < _END:
        read_coefficients(model.groups, batch, lanes)
        find_forces(model, batch, lanes)
        find_vaccination(model, batch, lanes)
        find_chances(_OVER_TIME, _FIRST_LANE, U64(lanes.width), model, batch, lanes)
        for level in range(model.levels.size - 1):
            _draw(level, model, lanes, key, is_mean)
        _move(model, lanes)
        _count(look, lanes)
        running -= _advance(model, batch, look, lanes, out, counter)


# -- particles and their lanes


@part
def _start(w, model, batch, look, lanes, counter):
    """Put the next particle into a lane; return 0 if none is left."""
    reals, wholes, rows = lanes.reals, lanes.wholes, lanes.rows
    position = next_position(batch, counter)
    if position < 0:  # an idle lane has nobody, and reads numbers that are there
        wholes[POSITION, w] = -1
        wholes[START, w] = wholes[POINT, w] = 0
        lanes.step[w] = U64(0)
        for row in range(rows.people, rows.moved):
            reals[row, w] = 0.0
        return 0
    put(w, position, batch, look, lanes)
    has_own = _read_own_coefficients(w, position, batch, lanes)
    if has_own:
        find_chances(_BY_PARTICLE, U64(w), U64(w + 1), model, batch, lanes)
    return 1


@inlined
def next_position(batch, counter):
    """Return the position of the next particle that can be simulated; -1 if none is left."""
    position = take_next(counter)
    while position < batch.start.size and batch.start[position] < 0:
        position = take_next(counter)
    return position if position < batch.start.size else -1


@inlined
def put(w, position, batch, look, lanes):
    """Put a particle into a lane, ready for its first step."""
    reals, wholes, rows = lanes.reals, lanes.wholes, lanes.rows
    start = batch.start[position]
    lanes.step[w] = U64(0)
    wholes[POSITION, w] = position
    wholes[START, w] = start
    wholes[POINT, w] = batch.starts[start, FIRST_POINT]
    wholes[DUE, w] = batch.due[start, 0]
    wholes[SHORT_SINCE, w] = -1
    lanes.particle[w] = batch.particles[position]
    reals[rows.cost, w] = look.cost_before[start]
    reals[rows.unused, w] = 0.0
    of_particle = position if batch.initial.shape[0] > 1 else 0
    for row in range(rows.moved):
        reals[row, w] = batch.initial[of_particle, row]
    for row in range(rows.counted, rows.coefficient):
        reals[row, w] = 0.0


@part
def _read_own_coefficients(w, position, batch, lanes):
    """Read a particle's coefficients that do not change over time; return whether there are any."""
    has_own = False
    for c in range(batch.coefficients.shape[0]):
        own = batch.coefficients[c]
        base = own[OFFSET] + position * own[PARTICLE_STRIDE]
        lanes.wholes[BASE + c, w] = base
        if own[KIND] == BY_PARTICLE:
            has_own = True
            for g in range(own[NUM_ROWS]):
                value = batch.values[base + g * own[GROUP_STRIDE]]
                lanes.reals[lanes.rows.coefficient + own[ROW] + g, w] = value
    return has_own


@part
def _fill_fixed_rows(model, batch, lanes):
    """Fill the rows that no particle and no time step changes."""
    for c in range(batch.coefficients.shape[0]):
        own = batch.coefficients[c]
        if own[KIND] == FIXED:
            for g in range(own[NUM_ROWS]):
                row = lanes.reals[lanes.rows.coefficient + own[ROW] + g]
                for w in range(lanes.width):
                    row[w] = batch.values[own[OFFSET] + g * own[GROUP_STRIDE]]
    find_chances(_FIXED, _FIRST_LANE, U64(lanes.width), model, batch, lanes)


@part
def _advance(model, batch, look, lanes, out, counter):
    """Go on to the next step, report what is due and refill lanes; return the number of lanes that end."""
    wholes, step, due_lanes = lanes.wholes, lanes.step, lanes.due
    position, point, due = wholes[POSITION], wholes[POINT], wholes[DUE]
    for w in range(lanes.width):
        is_busy = position[w] >= 0
        step[w] += U64(1) if is_busy else U64(0)
        point[w] += batch.points_a_step if is_busy else 0
    num_due = 0
    for w in range(lanes.width):
        due_lanes[num_due] = w
        num_due += (position[w] >= 0) & (np.int64(step[w]) > due[w])
    if not num_due:
        return 0
    _report(num_due, batch, look, lanes, out)
    cost = lanes.reals[lanes.rows.cost]
    ended = 0
    for j in range(num_due):
        w = due_lanes[j]
        start, next_step = wholes[START, w], np.int64(step[w])
        is_whole = next_step == batch.starts[start, NUM_STEPS]
        if not is_whole and cost[w] <= look.most:
            due[w] = batch.due[start, next_step]
            continue
        ends = out.ends[position[w]]
        ends[STATUS] = WHOLE if is_whole else STOPPED
        ends[STEPS] = next_step
        ends[FIRST_UNUSED] = wholes[SHORT_SINCE, w]
        out.unused[position[w]] = lanes.reals[lanes.rows.unused, w]
        ended += 1 - _start(w, model, batch, look, lanes, counter)
    return ended


@part
def _report(num_due, batch, look, lanes, out):
    """Write the observables of the dates that the due lanes have ended, and add to their distances."""
    reals, rows, wholes = lanes.reals, lanes.rows, lanes.wholes
    for j in range(num_due):
        w = lanes.due[j]
        position = wholes[POSITION, w]
        column = batch.column[wholes[START, w], wholes[DUE, w]]
        if column < 0:  # the model's end, and no date
            continue
        for o in range(look.first_of_people.size - 1):
            total = 0.0
            for row in look.people[look.first_of_people[o] : look.first_of_people[o + 1]]:
                total += reals[rows.people + row, w]
            out.people[position, o, column] = total
        for o in range(look.first_of_moved.size - 1):
            counted = reals[rows.counted + o, w]
            out.moved[position, o, column] = counted
            reals[rows.counted + o, w] = 0.0
            if look.power > 0:
                distance = abs(counted - look.observed[o, column])
                cost = distance if look.power == 1 else distance * distance
                reals[rows.cost, w] += look.weights[o, column] * cost


# -- draws and people


@part
def _draw(level, model, lanes, key, is_mean):
    """Draw who leaves (level 0), or who of them takes an edge; cells without people are left out."""
    reals, rows, law = lanes.reals, lanes.rows, lanes.law
    first = rows.moved if level else rows.people
    cells = _NONE
    for row in range(model.levels[level], model.levels[level + 1]):
        from_row, to_row = first + model.draws[row, FROM], rows.moved + model.draws[row, TO]
        is_moving = _has_anybody(reals[from_row], lanes.width)
        lanes.is_moving[model.draws[row, TO]] = is_moving
        if not is_moving:
            for w in range(lanes.width):
                reals[to_row, w] = 0.0
            continue
        law.people[cells] = from_row
        law.chance[cells] = rows.chance + row
        lanes.sites[cells] = U64(row)
        cells += 1
        if cells << lanes.shift == TILE:
            _finish_tile(cells, level, model, lanes, key, is_mean)
            cells = _NONE
    _finish_tile(cells, level, model, lanes, key, is_mean)


@part
def _has_anybody(people, width):
    for w in range(width):  # mostly the first lane has
        if people[w] > 0.0:
            return 1
    return 0


@part
def _finish_tile(cells, level, model, lanes, key, is_mean):
    """Draw a tile, and write the people who move to the rows of their edges."""
    reals, tile, law = lanes.reals, lanes.floats, lanes.law
    if is_mean:
        for c in range(cells):
            people, chance, o = reals[law.people[c]], reals[law.chance[c]], U64(c << lanes.shift)
            for w in range(lanes.width):
                tile[U64(N) + o + U64(w)] = people[w]
                tile[U64(K) + o + U64(w)] = people[w] * chance[w]
    elif cells:
        draw_tile(tile, lanes.integers, law, cells, lanes.shift, key, lanes.particle, lanes.step, lanes.sites)
    for c in range(cells):
        row, o = np.int64(lanes.sites[c]), U64(c << lanes.shift)
        to = reals[lanes.rows.moved + model.draws[row, TO]]
        for w in range(lanes.width):
            to[w] = tile[U64(K) + o + U64(w)]
        if lanes.has_flips[row]:
            flip = reals[lanes.rows.flip + row]
            for w in range(lanes.width):
                to[w] += flip[w] * (tile[U64(N) + o + U64(w)] - 2.0 * to[w])
        if level:
            rest = reals[law.people[c]]
            for w in range(lanes.width):
                rest[w] -= to[w]


@part
def _move(model, lanes):
    """Move the people along the edges."""
    reals, rows, groups = lanes.reals, lanes.rows, model.groups
    for e in range(model.edges.shape[0] - 1):
        for g in range(groups):
            if not lanes.is_moving[e * groups + g]:
                continue
            moved = reals[rows.moved + e * groups + g]
            source = reals[rows.people + model.edges[e, SOURCE] * groups + g]
            target = reals[rows.people + model.edges[e, TARGET] * groups + g]
            for w in range(lanes.width):
                source[w] -= moved[w]
                target[w] += moved[w]


@part
def _count(look, lanes):
    """Add the people who moved in this step to the counts since the last reported date."""
    reals, rows = lanes.reals, lanes.rows
    for o in range(look.first_of_moved.size - 1):
        counted = reals[rows.counted + o]
        for j in range(look.first_of_moved[o], look.first_of_moved[o + 1]):
            moved = reals[rows.moved + look.moved[j]]
            for w in range(lanes.width):
                counted[w] += moved[w]
