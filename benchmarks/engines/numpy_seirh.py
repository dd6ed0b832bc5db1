"""SEIRH as arrays over particles in plain numpy, for the one model: what a careful scientist writes first."""

import numpy as np

WEEK = 7


def simulate(
    sizes: np.ndarray,
    infectious: np.ndarray,
    transmission: np.ndarray,
    rates: dict[str, float],
    days: int,
    particles: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return infections and admissions by week, ndarrays of int, shape (particles, weeks).

    Parameters
    ----------
    sizes, infectious : ndarray of int, shape (groups,)
        People, and those in I on the first day.
    transmission : ndarray, shape (groups, groups)
        Hazard of a person of the row's group from one infectious person of the column's group [1/day].
    rates : dict
        E_to_I, I_to_R, I_to_H and H_to_R [1/day].
    """
    susceptible = np.tile(sizes - infectious, (particles, 1))
    ill = np.tile(infectious, (particles, 1))
    exposed, ward = np.zeros_like(ill), np.zeros_like(ill)
    infections, admissions = (np.zeros((particles, -(-days // WEEK)), dtype=np.int64) for _ in "ab")
    onset, discharge = -np.expm1(-rates["E_to_I"]), -np.expm1(-rates["H_to_R"])
    leaving_rate = rates["I_to_R"] + rates["I_to_H"]
    ending, severe = -np.expm1(-leaving_rate), rates["I_to_H"] / leaving_rate
    for day in range(days):
        infected = rng.binomial(susceptible, -np.expm1(-(ill @ transmission.T)))
        falling_ill = rng.binomial(exposed, onset)
        leaving = rng.binomial(ill, ending)
        admitted = rng.binomial(leaving, severe)
        discharged = rng.binomial(ward, discharge)
        susceptible -= infected
        exposed += infected - falling_ill
        ill += falling_ill - leaving
        ward += admitted - discharged
        infections[:, day // WEEK] += infected.sum(axis=1)
        admissions[:, day // WEEK] += admitted.sum(axis=1)
    return infections, admissions
