"""The chances of a step: rates times forces become hazards, and hazards become chances.

The loops run over the lanes of rows, as in steps.py; arrays.py explains the arrays.
"""

import numpy as np

from modeling.engine.arithmetic import exp, expm1, log1p
from modeling.engine.arrays import (
    BASE,
    COEFFICIENT,
    FIRST_EDGE,
    FIRST_TERM,
    GROUP_STRIDE,
    KIND,
    MATRIX,
    MEDIATOR,
    NUM_ROWS,
    OVER_TIME,
    POINT,
    POINT_STRIDE,
    POSITION,
    ROW,
    SHORT_SINCE,
    SPLIT_ROW,
    SPONTANEOUS,
    START,
    TERM,
    VACCINATION,
)
from modeling.engine.compiled import U64, inlined, part

LARGEST_HAZARD = 690.0  # exp() of arithmetic.py is right up to 700, and exp(-690) is below any 1 / people
LOG_2 = 0.6931471805599453
_ALMOST_ALL = 1 - np.finfo(float).eps  # a chance of 1 would be an infinite hazard


@part
def read_coefficients(groups, batch, lanes):
    """Read the coefficients that change over time."""
    values, point = batch.values, lanes.wholes[POINT]
    for c in range(batch.coefficients.shape[0]):
        own = batch.coefficients[c]
        if own[KIND] != OVER_TIME:
            continue
        base, stride = lanes.wholes[BASE + c], own[POINT_STRIDE]
        for g in range(own[NUM_ROWS]):
            row, offset = lanes.reals[lanes.rows.coefficient + own[ROW] + g], g * own[GROUP_STRIDE]
            for w in range(lanes.width):
                row[w] = values[U64(base[w] + point[w] * stride + offset)]


@part
def find_forces(model, batch, lanes):
    """Find the infectious contacts per day of one person of group a: sum_b C[a, b] I[b] / N[b]."""
    reals, rows, matrix, groups = lanes.reals, lanes.rows, lanes.wholes[MATRIX], model.groups
    num_present = _find_matrices(batch, lanes)
    for m in range(model.mediators.size):
        for a in range(groups):
            force = reals[rows.force + m * groups + a]
            for w in range(lanes.width):
                force[w] = 0.0
            for present in range(num_present):
                number = lanes.present[present]
                contacts = model.contacts[number, a]
                for b in range(groups):
                    people = reals[rows.people + model.mediators[m] * groups + b]
                    met = contacts[b]
                    if num_present == 1:
                        for w in range(lanes.width):
                            force[w] += met * people[w]
                        continue
                    for w in range(lanes.width):
                        force[w] += met * people[w] if matrix[w] == number else 0.0


@part
def _find_matrices(batch, lanes):
    """Look up the contact matrix of each lane, and list those that are present; return their number."""
    lanes.present[0] = 0
    if batch.matrix_of_point.size == 1:
        return 1
    matrix, point, position = lanes.wholes[MATRIX], lanes.wholes[POINT], lanes.wholes[POSITION]
    num_present = 0
    for w in range(lanes.width):
        if position[w] < 0:
            continue
        matrix[w] = batch.matrix_of_point[U64(point[w])]
        is_listed = False
        for present in range(num_present):
            is_listed |= lanes.present[present] == matrix[w]
        if not is_listed:
            lanes.present[num_present] = matrix[w]
            num_present += 1
    return num_present


@part
def find_vaccination(model, batch, lanes):
    """Find the hazard of a vaccination in a step, whose chance is doses / eligible people."""
    if model.eligible.size == 0:
        return
    reals, rows, step = lanes.reals, lanes.rows, lanes.step
    position, start, short_since = lanes.wholes[POSITION], lanes.wholes[START], lanes.wholes[SHORT_SINCE]
    eligible, unused = reals[rows.eligible], reals[rows.unused]
    for g in range(model.groups):
        hazard = reals[rows.vaccination + g]
        for w in range(lanes.width):
            eligible[w] = 0.0
        for j in range(model.eligible.size):
            people = reals[rows.people + model.eligible[j] * model.groups + g]
            for w in range(lanes.width):
                eligible[w] += people[w]
        short = 0
        for w in range(lanes.width):
            doses = batch.doses[U64(start[w]), step[w], U64(g)]
            hazard[w] = doses if position[w] >= 0 else 0.0
            short += hazard[w] > eligible[w]
        if short:
            for w in range(lanes.width):
                if hazard[w] > eligible[w]:
                    unused[w] += hazard[w] - eligible[w]
                    if short_since[w] < 0:
                        short_since[w] = np.int64(step[w])
        for w in range(lanes.width):
            hazard[w] = hazard_of_doses(hazard[w], eligible[w])


@inlined
def hazard_of_doses(doses, eligible):
    """Return the hazard of a step whose chance is doses / eligible people."""
    chance = doses / eligible if eligible > 0.0 else 0.0
    return -log1p(-(chance if chance < _ALMOST_ALL else _ALMOST_ALL))


@part
def find_chances(kind, low, high, model, batch, lanes):
    """Find the chances to leave the sources of a kind, and to take each edge, in lanes low to high - 1."""
    reals, rows = lanes.reals, lanes.rows
    hazard, rest = reals[rows.hazard], reals[rows.rest]
    for s in range(model.sources.shape[0] - 1):
        if model.sources[s, KIND] != kind:
            continue
        first, last = model.sources[s, FIRST_EDGE], model.sources[s + 1, FIRST_EDGE]
        for g in range(model.groups):
            _add_hazards(last - 1, g, rest, low, high, model, batch.coefficients, reals, rows)
            for e in range(last - 2, first - 1, -1):
                _add_hazards(e, g, hazard, low, high, model, batch.coefficients, reals, rows)
                row = model.edges[e, SPLIT_ROW] + g
                chance, log_rest, flip = _chance_rows(row, reals, rows)
                lanes.has_flips[row] |= _set_split(chance, log_rest, flip, hazard, rest, low, high)
                for w in range(low, high):
                    rest[w] += hazard[w]
            row = s * model.groups + g
            chance, log_rest, flip = _chance_rows(row, reals, rows)
            lanes.has_flips[row] |= _set_leaving(chance, log_rest, flip, rest, low, high)


@inlined
def _chance_rows(row, reals, rows):
    return reals[rows.chance + row], reals[rows.log_rest + row], reals[rows.flip + row]


@part
def _add_hazards(e, g, hazard, low, high, model, coefficients, reals, rows):
    """Add up the terms of an edge to its hazard in a step."""
    for w in range(low, high):
        hazard[w] = 0.0
    for t in range(model.edges[e, FIRST_TERM], model.edges[e + 1, FIRST_TERM]):
        kind, c = model.terms[t, TERM], model.terms[t, COEFFICIENT]
        if kind == VACCINATION:
            vaccination = reals[rows.vaccination + g]
            for w in range(low, high):
                hazard[w] += vaccination[w]
            continue
        of_group = g if coefficients[c, NUM_ROWS] > 1 else 0
        coefficient = reals[rows.coefficient + coefficients[c, ROW] + of_group]
        if kind == SPONTANEOUS:
            for w in range(low, high):
                hazard[w] += coefficient[w]
        else:
            force = reals[rows.force + model.terms[t, MEDIATOR] * model.groups + g]
            for w in range(low, high):
                hazard[w] += coefficient[w] * force[w]


@part
def _set_leaving(chance, log_rest, flip, hazard, low, high):
    """Set the chance 1 - exp(-H) to leave, or to stay if that is smaller; return whether it ever is."""
    large = 0
    for w in range(low, high):
        h = hazard[w] if hazard[w] < LARGEST_HAZARD else LARGEST_HAZARD
        large += h > LOG_2
        chance[w] = -expm1(-h)
        log_rest[w] = h
        flip[w] = 0.0
    if large:
        for w in range(low, high):
            h = log_rest[w]
            stay = exp(-h)
            is_flipped = h > LOG_2
            chance[w] = stay if is_flipped else chance[w]
            log_rest[w] = -log1p(-stay) if is_flipped else h
            flip[w] = 1.0 if is_flipped else 0.0
    return np.int64(large > 0)


@part
def _set_split(chance, log_rest, flip, hazard, rest, low, high):
    """Set the chance of an edge among itself and those after it, or of those where it is the smaller one.

    Return whether it ever is.
    """
    flips = 0
    for w in range(low, high):
        p, is_flipped = split_chance(hazard[w], rest[w])
        chance[w] = p
        log_rest[w] = -log1p(-p)
        flip[w] = 1.0 if is_flipped else 0.0
        flips += is_flipped
    return np.int64(flips > 0)


@inlined
def split_chance(hazard, rest):
    """Return the chance of an edge, or of those after it if that is smaller, and whether it is."""
    total = hazard + rest
    is_flipped = hazard > rest
    smaller = rest if is_flipped else hazard
    return smaller / total if total > 0.0 else 0.0, is_flipped
