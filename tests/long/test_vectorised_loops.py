"""The loops of the engine's kernel that LLVM turns into vector code remain vector code.

A loop is lost without a sign: one call that is not inlined is enough, or an index that may be negative, or a
division that is checked. `python tests/vectorised_loops.py` prints the table of the code as it is.
"""

import re
from os import uname

import pytest

from tests.vectorised_loops import TARGETS, vectorised_loops

# by function: loops over vectors of 8 numbers (AVX-512), and of 4 (AVX2). Inlined helpers count where they
# are used; loops that only copy or clear do not count.
LOOPS = {
    "_add_hazards": (3, 3),
    "_set_split": (1, 1),
    "_set_leaving": (2, 1),
    "find_chances": (1, 1),
    "_start": (1, 0),
    "put": (2, 1),
    "_find_matrices": (1, 1),
    "find_forces": (2, 2),
    "find_vaccination": (3, 3),
    "_first": (2, 2),
    "_sum_four": (1, 1),
    "_invert": (1, 1),
    "_judge": (1, 1),
    "_again": (1, 1),
    "_finish_tile": (4, 4),
    "_move": (1, 1),
    "_count": (1, 1),
    "_advance": (1, 1),
}


@pytest.mark.skipif(not re.search("x86_64|amd64", uname().machine, re.I), reason="code for x86-64")
@pytest.mark.parametrize("column", range(len(TARGETS)), ids=TARGETS)
def test_every_loop_that_was_vector_code_still_is(column):
    expected = {name: counts[column] for name, counts in LOOPS.items() if counts[column]}

    found = vectorised_loops(list(TARGETS)[column])

    changed = {
        name: f"{found.get(name, 0)} loops, not {expected.get(name, 0)}"
        for name in {**expected, **found}
        if found.get(name) != expected.get(name)
    }
    assert not changed
