"""The kernel of a GPU: one particle in each lane, and one thread a lane.

A processor takes each draw of many lanes together through the passes of binomial.py, as vector code. A GPU
runs thousands of threads, so here a thread goes through the step of its own lane from draw to draw. The
random numbers, the arithmetic and the order of additions are the same, and therefore the bytes. A thread that
ends a particle takes the next one.

Rows are over lanes, so that neighbouring threads read neighbouring numbers. Chances are not kept: they are
found where they are drawn. numba compiles these functions for a GPU (precompile.py) and, in a test, for a
processor.
"""

import numpy as np

from modeling.engine.arithmetic import as_bits, exp, expm1, fabs, log1p
from modeling.engine.arrays import (
    COEFFICIENT,
    DUE,
    FIRST_EDGE,
    FIRST_TERM,
    FIRST_UNUSED,
    FROM,
    GROUP_STRIDE,
    MEDIATOR,
    NUM_STEPS,
    OFFSET,
    PARTICLE_STRIDE,
    POINT,
    POINT_STRIDE,
    POSITION,
    SHORT_SINCE,
    SOURCE,
    SPLIT_ROW,
    SPONTANEOUS,
    START,
    STATUS,
    STEPS,
    STOPPED,
    TARGET,
    TERM,
    VACCINATION,
    WHOLE,
)
from modeling.engine.binomial import MOST_TERMS, SMALL_MEAN, add_term, candidate, log_height, log_ratio
from modeling.engine.chances import LARGEST_HAZARD, LOG_2, hazard_of_doses, split_chance
from modeling.engine.compiled import U64, inlined, part
from modeling.engine.philox import uniforms
from modeling.engine.steps import next_position, put, take_next

_ONE_OVER = 1.0 / np.arange(1.0, MOST_TERMS + 1)
_SIGN = U64(63)  # bit


@part
def run_lane(w, most_steps, model, batch, look, lanes, out, counters, key, is_mean):
    """Simulate particles in a lane, until none is left or for a number of time steps.

    Parameters
    ----------
    w, most_steps : uint64
    model, batch, look, out : Model, Batch, Look, Out
    lanes : GpuLanes
        Before the first call every lane is idle: its POSITION is -1.
    counters : ndarray of int64, shape (2,)
        Position of the next particle, and number of those that have ended; shared by all lanes.
    key : uint64
        Of the random stream.
    is_mean : bool
        Whether each draw returns its mean: deterministic mode.
    """
    for _ in range(most_steps):
        if lanes.wholes[POSITION, w] < 0:
            position = next_position(batch, counters)
            if position < 0:
                return
            put(w, position, batch, look, lanes)
        _find_forces(w, model, batch, lanes)
        _find_vaccination(w, model, batch, lanes)
        _draw_all(w, model, batch, lanes, key, is_mean)
        _move_and_count(w, model, look, lanes)
        lanes.step[w] += U64(1)
        lanes.wholes[POINT, w] += batch.points_a_step
        if np.int64(lanes.step[w]) > lanes.wholes[DUE, w]:
            _report(w, batch, look, lanes, out)
            if _is_at_its_end(w, batch, look, lanes, out):
                lanes.wholes[POSITION, w] = -1
                take_next(counters[1:])


@inlined
def _find_forces(w, model, batch, lanes):
    """Find the infectious contacts per day of one person of group a: sum_b C[a, b] I[b] / N[b]."""
    reals, rows, groups = lanes.reals, lanes.rows, model.groups
    point = lanes.wholes[POINT, w] if batch.matrix_of_point.size > 1 else 0
    contacts = model.contacts[batch.matrix_of_point[point]]
    for m in range(model.mediators.size):
        people = rows.people + model.mediators[m] * groups
        for a in range(groups):
            force = 0.0
            for b in range(groups):
                force += contacts[a, b] * reals[people + b, w]
            reals[rows.force + m * groups + a, w] = force


@inlined
def _find_vaccination(w, model, batch, lanes):
    """Find the hazard of a vaccination in a step, and count the doses that nobody is there for."""
    if model.eligible.size == 0:
        return
    reals, rows, step = lanes.reals, lanes.rows, lanes.step[w]
    for g in range(model.groups):
        eligible = 0.0
        for j in range(model.eligible.size):
            eligible += reals[rows.people + model.eligible[j] * model.groups + g, w]
        doses = batch.doses[lanes.wholes[START, w], step, g]
        if doses > eligible:
            reals[rows.unused, w] += doses - eligible
            if lanes.wholes[SHORT_SINCE, w] < 0:
                lanes.wholes[SHORT_SINCE, w] = np.int64(step)
        reals[rows.vaccination + g, w] = hazard_of_doses(doses, eligible)


@inlined
def _hazard(w, e, g, position, point, model, batch, lanes):
    """Return the hazard of an edge in a step, the sum of its terms."""
    reals, rows, hazard = lanes.reals, lanes.rows, 0.0
    for t in range(model.edges[e, FIRST_TERM], model.edges[e + 1, FIRST_TERM]):
        kind = model.terms[t, TERM]
        if kind == VACCINATION:
            hazard += reals[rows.vaccination + g, w]
            continue
        own = batch.coefficients[model.terms[t, COEFFICIENT]]
        of_particle = position * own[PARTICLE_STRIDE] + point * own[POINT_STRIDE]
        coefficient = batch.values[own[OFFSET] + of_particle + g * own[GROUP_STRIDE]]
        if kind == SPONTANEOUS:
            hazard += coefficient
        else:
            hazard += coefficient * reals[rows.force + model.terms[t, MEDIATOR] * model.groups + g, w]
    return hazard


@inlined
def _draw_all(w, model, batch, lanes, key, is_mean):
    """Draw who leaves each compartment and age group, then, edge by edge, who of them takes it."""
    for s in range(model.sources.shape[0] - 1):
        first, last = model.sources[s, FIRST_EDGE], model.sources[s + 1, FIRST_EDGE]
        for g in range(model.groups):
            _draw_source(w, s, first, last, g, model, batch, lanes, key, is_mean)


@inlined
def _draw_source(w, s, first, last, g, model, batch, lanes, key, is_mean):
    """Draw who moves along the edges of one compartment and age group.

    Until an edge is drawn, its row of moved people holds its chance among the edges after it: negative, also
    where it is 0, if it is the chance of those after it.
    """
    reals, moved, groups = lanes.reals, lanes.rows.moved, model.groups
    row = s * groups + g
    people = reals[lanes.rows.people + model.draws[row, FROM], w]
    if not people > 0.0:
        for e in range(first, last):
            reals[moved + e * groups + g, w] = 0.0
        return
    position, point = lanes.wholes[POSITION, w], lanes.wholes[POINT, w]
    hazard = _hazard(w, last - 1, g, position, point, model, batch, lanes)
    for e in range(last - 2, first - 1, -1):
        own = _hazard(w, e, g, position, point, model, batch, lanes)
        chance, is_flipped = split_chance(own, hazard)
        reals[moved + e * groups + g, w] = -chance if is_flipped else chance
        hazard += own
    hazard = hazard if hazard < LARGEST_HAZARD else LARGEST_HAZARD
    is_flipped = hazard > LOG_2
    chance = exp(-hazard) if is_flipped else -expm1(-hazard)
    log_rest = -log1p(-chance) if is_flipped else hazard
    leaving = _drawn(w, people, chance, log_rest, is_flipped, row, lanes, key, is_mean)
    for e in range(first, last - 1):
        chance = reals[moved + e * groups + g, w]
        is_flipped = (as_bits(chance) >> _SIGN) > U64(0)
        chance = fabs(chance)
        log_rest = -log1p(-chance) if leaving * chance < SMALL_MEAN else 0.0
        row = model.edges[e, SPLIT_ROW] + g
        taking = _drawn(w, leaving, chance, log_rest, is_flipped, row, lanes, key, is_mean)
        reals[moved + e * groups + g, w] = taking
        leaving -= taking
    reals[moved + (last - 1) * groups + g, w] = leaving


@inlined
def _drawn(w, people, chance, log_rest, is_flipped, row, lanes, key, is_mean):
    """Return who is drawn of some people, with the chance, or with one minus the chance."""
    if is_mean:
        drawn = people * chance
    else:
        drawn = draw(people, chance, log_rest, key, lanes.particle[w], lanes.step[w], U64(row))
    return drawn + (people - 2.0 * drawn) if is_flipped else drawn


@part
def draw(n, p, log_rest, key, particle, step, site):
    """Return a draw of Binomial(n, p), for p <= 1/2, as draw_tile() makes it.

    Parameters
    ----------
    log_rest : float
        -log(1 - p); not read where n p >= SMALL_MEAN.
    key, particle, step, site : uint64
    """
    mean = n * p
    if not mean > 0.0:
        return 0.0
    u, v = uniforms(key, particle, step, site, U64(0))
    if mean < SMALL_MEAN:
        return _inverted(n, p, log_rest, u)
    k, is_accepted = candidate(n, p, u, v)
    attempt = U64(0)
    while not is_accepted:
        if 0.0 <= k <= n and log_height(n, p, u, v) <= log_ratio(n, p, k):
            break
        attempt += U64(1)
        u, v = uniforms(key, particle, step, site, attempt)
        k, is_accepted = candidate(n, p, u, v)
    return k


@inlined
def _inverted(n, p, log_rest, u):
    """Return the number of partial sums of the law that are <= u."""
    r = p / (1.0 - p)
    x = exp(-n * log_rest)
    g, c, k = (n + 1.0) * r, x, 0.0
    for j in range(MOST_TERMS):
        if u < c:
            break
        k, x, c = add_term(k, x, c, u, g, r, _ONE_OVER[j])
    return k if k < n else n


@inlined
def _move_and_count(w, model, look, lanes):
    """Move the people along the edges, and add them to the counts since the last reported date."""
    reals, rows, groups = lanes.reals, lanes.rows, model.groups
    for e in range(model.edges.shape[0] - 1):
        source = rows.people + model.edges[e, SOURCE] * groups
        target = rows.people + model.edges[e, TARGET] * groups
        for g in range(groups):
            moved = reals[rows.moved + e * groups + g, w]
            if moved > 0.0:
                reals[source + g, w] -= moved
                reals[target + g, w] += moved
    for o in range(look.first_of_moved.size - 1):
        counted = reals[rows.counted + o, w]
        for j in range(look.first_of_moved[o], look.first_of_moved[o + 1]):
            counted += reals[rows.moved + look.moved[j], w]
        reals[rows.counted + o, w] = counted


@inlined
def _report(w, batch, look, lanes, out):
    """Write the observables of the date that a lane has ended, and add to its distance."""
    reals, rows, wholes = lanes.reals, lanes.rows, lanes.wholes
    position = wholes[POSITION, w]
    column = batch.column[wholes[START, w], wholes[DUE, w]]
    if column < 0:  # the model's end, and no date
        return
    for o in range(look.first_of_people.size - 1):
        total = 0.0
        for j in range(look.first_of_people[o], look.first_of_people[o + 1]):
            total += reals[rows.people + look.people[j], w]
        out.people[position, o, column] = total
    for o in range(look.first_of_moved.size - 1):
        counted = reals[rows.counted + o, w]
        out.moved[position, o, column] = counted
        reals[rows.counted + o, w] = 0.0
        if look.power > 0:
            distance = abs(counted - look.observed[o, column])
            cost = distance if look.power == 1 else distance * distance
            reals[rows.cost, w] += look.weights[o, column] * cost


@inlined
def _is_at_its_end(w, batch, look, lanes, out):
    """Tell whether the particle of a lane ends or stops, and write how; otherwise find when it is due."""
    wholes = lanes.wholes
    position, start, next_step = wholes[POSITION, w], wholes[START, w], np.int64(lanes.step[w])
    is_whole = next_step == batch.starts[start, NUM_STEPS]
    if not is_whole and lanes.reals[lanes.rows.cost, w] <= look.most:
        wholes[DUE, w] = batch.due[start, next_step]
        return False
    out.ends[position, STATUS] = WHOLE if is_whole else STOPPED
    out.ends[position, STEPS] = next_step
    out.ends[position, FIRST_UNUSED] = wholes[SHORT_SINCE, w]
    out.unused[position] = lanes.reals[lanes.rows.unused, w]
    return True
