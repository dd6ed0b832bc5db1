"""Random streams: one for each thing that is drawn, so that no result depends on the order of the work.

A stream is named by numbers (numpy's SeedSequence.spawn_key). The same seed and name give the same draws in
any process, order or split.
"""

import hashlib

import numpy as np

TRAJECTORIES, CALIBRATION, PROJECTIONS, SAMPLING = range(4)


def stream(entropy: tuple[int, ...], *name: int) -> np.random.Generator:
    """Return the generator of a named stream."""
    return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=name))


def name_number(text: str) -> int:
    """Return a fixed number for a name, so that a population has the same draws in every run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def stream_key(entropy: tuple[int, ...], *name: int) -> int:
    """Return the 64-bit key of a named stream, for the counter-based draws of the engine."""
    return int(np.random.SeedSequence(entropy, spawn_key=name).generate_state(1, np.uint64)[0])
