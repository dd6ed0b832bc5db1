"""Make the contact matrices in epydemix-data/ from a simple recipe, without the matrices of a survey.

    python data/make_contacts.py

A layer rests on two assumptions: the number of contacts of a person of each age in a day (DAILY_CONTACTS),
and the preference of each age for others (the kernels). The matrix has these numbers of contacts, distributed
by that preference, and is balanced: ages i and j have equally many meetings seen from either side.
Running it again writes the same bytes.
"""

import csv
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "epydemix-data"
SOURCE = "synthetic_2026"
AGES = np.arange(85)  # single years; the last is 84 and older
ROUNDS = 200  # of the balancing, which converges within a hundred
NEVER = 1e-4  # contacts a day below which two ages count as never meeting: fewer than one in 25 years
SIGNIFICANT_DIGITS = 4

# First age, last age, contacts a day. Only the order of magnitude is taken from contact surveys:
# in Mossong et al. 2008 (doi 10.1371/journal.pmed.0050074) people in eight countries named 13.4
# contacts a day, school-age children most and the oldest fewest, and met their own age most.
DAILY_CONTACTS = {
    "home": [(0, 17, 3.8), (18, 29, 2.6), (30, 54, 3.2), (55, 64, 2.2), (65, 84, 1.6)],
    "school": [(1, 4, 2.5), (5, 17, 8.0), (18, 21, 3.0), (22, 64, 0.6)],  # from 22 on: staff
    "work": [(16, 17, 1.0), (18, 24, 3.5), (25, 64, 4.5), (65, 74, 1.0)],
    "community": [(0, 4, 2.5), (5, 17, 3.5), (18, 29, 4.5), (30, 64, 4.0), (65, 84, 3.0)],
}


def home(apart: np.ndarray) -> np.ndarray:
    """Partners, brothers and sisters are of similar age; parents are about 28 years older."""
    return bell(apart, 4) + bell(np.abs(apart) - 28, 5)


def school(apart: np.ndarray) -> np.ndarray:
    """Pupils meet their class and, rarely, other classes; staff meet pupils of every age."""
    staff = AGES >= 22
    pupils = bell(apart, 1.2) + 0.02
    with_staff = staff[:, None] | staff[None, :]
    return np.where(with_staff, 0.1, pupils)


def work(apart: np.ndarray) -> np.ndarray:
    """Colleagues are of every working age, with a slight preference for one's own."""
    return bell(apart, 15) + 0.5


def community(apart: np.ndarray) -> np.ndarray:
    """In shops, buses and among friends people meet every age, and their own more often."""
    return bell(apart, 6) + 0.5


KERNELS = {"home": home, "school": school, "work": work, "community": community}


def bell(years: np.ndarray, width_years: float) -> np.ndarray:
    return np.exp(-0.5 * (years / width_years) ** 2)


def contact_matrix(layer: str, people: np.ndarray) -> np.ndarray:
    """Return the contacts a person of the row's age has with people of the column's age.

    Starting from preference x people x people, which is symmetric, the row and column of each age
    are scaled by the same factor until the row adds up to its contacts (Sinkhorn and Knopp 1967).
    The number of meetings i -> j therefore equals that of j -> i.

    Parameters
    ----------
    people : ndarray, shape (ages,)

    Returns
    -------
    ndarray, shape (ages, ages)
        Contacts [1/day].
    """
    wanted = contacts_by_age(layer) * people
    preference = KERNELS[layer](AGES[:, None] - AGES[None, :])
    factor = np.where(wanted > 0, people, 0.0)
    for _ in range(ROUNDS):
        meetings = factor * (preference * factor).sum(axis=1)
        factor *= np.sqrt(np.divide(wanted, meetings, out=np.zeros_like(wanted), where=meetings > 0))
    matrix = factor[:, None] * preference * factor / people[:, None]
    # both directions are cut together, which keeps the balance
    return np.where(np.minimum(matrix, matrix.T) < NEVER, 0, matrix)


def contacts_by_age(layer: str) -> np.ndarray:
    """Return contacts a day, shape (ages,)."""
    contacts = np.zeros(len(AGES))
    for first, last, value in DAILY_CONTACTS[layer]:
        contacts[first : last + 1] = value
    return contacts


def rounded(matrix: np.ndarray) -> np.ndarray:
    """Round to significant digits, which keeps the files small."""
    return np.vectorize(lambda value: float(f"{value:.{SIGNIFICANT_DIGITS}g}"))(matrix)


def write_location(folder: Path) -> None:
    """Write the four layers and `all`, their sum; print the mean contacts of each."""
    with open(folder / "demographic" / "age_distribution.csv", newline="") as file:
        people = np.array([float(row["value"]) for row in csv.DictReader(file)])
    layers = {layer: rounded(contact_matrix(layer, people)) for layer in KERNELS}
    layers["all"] = rounded(sum(layers.values()))
    target = folder / "contact_matrices" / SOURCE
    target.mkdir(parents=True, exist_ok=True)
    for layer, matrix in layers.items():
        lines = (",".join(f"{value:.{SIGNIFICANT_DIGITS}g}" for value in row) for row in matrix)
        (target / f"contacts_matrix_{layer}.csv").write_text("\n".join(lines) + "\n")
        mean = (matrix.sum(axis=1) * people).sum() / people.sum()
        print(f"{folder.name:30} {layer:10} {mean:5.2f} contacts a day")


if __name__ == "__main__":
    for location in sorted((DATA / "data").iterdir()):
        write_location(location)
