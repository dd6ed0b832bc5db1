"""Populations from epydemix-data: age groups, sizes and contact matrices.

Read here and not with epydemix, so that stage A need not import it; a test compares the two.
Layout: https://github.com/epistorm/epydemix-data
"""

import csv
import http.client
import io
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from modeling.failures import TemporaryFault, UserError, did_you_mean, listed
from modeling.vocabulary.age_groups import OLDEST_AGE, age_bounds

LAYERS = ("school", "work", "home", "community")  # the order in which epydemix adds them up
DATA_VERSION = "v1.1.0"
DOWNLOAD_URL = f"https://raw.githubusercontent.com/epistorm/epydemix-data/{DATA_VERSION}"
DOWNLOAD_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Location:
    """One row of locations.csv: a place and its names."""

    iso: str
    name: str
    epydemix_name: str
    fips: str

    def is_called(self, text: str) -> bool:
        """Return whether a text names this place: by ISO code, FIPS code, name or "MA".

        Case and blanks do not matter.
        """
        text = _plain(text)
        own = {self.iso, self.name, self.epydemix_name, self.iso.removeprefix("US-")}
        if text in {_plain(name) for name in own}:
            return True
        return bool(self.fips) and text.zfill(2) == _plain(self.fips).zfill(2)


@dataclass(frozen=True)
class Population:
    """People and their contacts.

    Attributes
    ----------
    age_groups : list of str
    sizes : ndarray of int, shape (groups,)
        People.
    contacts : dict of str to ndarray, shape (groups, groups)
        By layer: contacts a person of the row's group has with the column's group [1/day].
    ages : ndarray of int, shape (ages,)
        First age [years] of each row of the age distribution: 0, 1, ...; the last row is open.
    people_by_age : ndarray of int, shape (ages,)
        People.
    """

    iso: str
    name: str
    epydemix_name: str
    age_groups: list[str]
    sizes: np.ndarray
    contacts: dict[str, np.ndarray]
    ages: np.ndarray
    people_by_age: np.ndarray

    @property
    def eigenvalue(self) -> float:
        """Largest eigenvalue of the contact matrix over all layers [1/day]."""
        return float(np.linalg.eigvals(sum(self.contacts.values())).real.max())

    def people_aged(self, first_month: float, end_month: float) -> np.ndarray:
        """Return the people of each age group whose age is in a span, shape (groups,).

        A year of age that the span cuts counts in proportion: half of age 0 is six months old or more.
        The last, open row counts whole or not at all.

        Parameters
        ----------
        first_month, end_month : float
            First age of the span, and the first age after it [months].
        """
        starts = 12.0 * self.ages
        ends = np.append(starts[1:], starts[-1] + 1)
        shares = np.clip(
            (np.minimum(ends, end_month) - np.maximum(starts, first_month)) / (ends - starts), 0, 1
        )
        bounds = [age_bounds(group) for group in self.age_groups]
        membership = np.array([(first <= self.ages) & (self.ages <= last) for first, last in bounds])
        return membership @ (shares * self.people_by_age)


@cache
def locations() -> dict[str, Location]:
    """Return every known location by its ISO 3166 code."""
    with open(Path(__file__).with_name("locations.csv"), newline="", encoding="utf-8") as file:
        return {row["iso"]: Location(**row) for row in csv.DictReader(file)}


@cache
def locations_by_fips() -> dict[str, Location]:
    """Return the United States, its states and territories by FIPS code, or US."""
    return {location.fips: location for location in locations().values() if location.fips}


def _plain(name: str) -> str:
    """Return a name in lower case, without blanks."""
    return "".join(name.split()).casefold()


@cache
def _locations_by_plain_name() -> dict[str, Location]:
    by_name = {_plain(location.epydemix_name): location for location in locations().values()}
    return by_name | {_plain(location.iso): location for location in locations().values()}


def find_location(code: str) -> Location:
    """Return the location of an ISO 3166 code, or of a name of epydemix-data; case does not matter.

    Raises
    ------
    UserError
        No location has this code or name.
    """
    known = locations()
    if location := _locations_by_plain_name().get(_plain(code)):
        return location
    state = known.get(f"US-{code.strip().upper()}")  # as in MA or ny
    near = f' (did you mean "{state.iso}"?)' if state else did_you_mean(code, known)
    near = near or did_you_mean(code.upper(), known)
    raise UserError(f'"{code}" is not a known population{near}; use an ISO 3166 code such as US-MA')


def is_all(name: str) -> bool:
    """Return whether a name is the word for many populations instead of one."""
    return _plain(name) == "all"


def expand_all(codes: list[str]) -> list[str]:
    """Return the codes, with "all" as the United States, its states, DC and Puerto Rico."""
    united_states = [iso for iso in locations() if iso == "US" or iso.startswith("US-")]
    expanded: list[str] = []
    for code in codes:
        expanded += united_states if is_all(code) else [find_location(code).iso]
    return list(dict.fromkeys(expanded))  # a place may occur by code and by name


def load_population(
    code: str, age_groups: list[str], folders: list[Path], cache_folder: Path | None
) -> Population:
    """Load one population.

    Parameters
    ----------
    code : str
        ISO 3166 code.
    age_groups : list of str
        e.g. ["0-4", "5-17", "18+"].
    folders : list of Path
        Folders in the layout of epydemix-data, searched in order.
    cache_folder : Path or None
        Where files that no folder has are downloaded to; None downloads none.

    Raises
    ------
    UserError
        Unknown code, files that are missing or wrong, or age groups that cut those of the data.
    TemporaryFault
        The download failed.
    """
    location = find_location(code)
    files = _PopulationFiles(location, folders, cache_folder)
    ages, people_by_age = files.age_distribution()
    source = files.contact_source()
    matrices = {layer: files.contact_matrix(source, layer) for layer in LAYERS}
    size = len(matrices[LAYERS[0]])
    if size == 16:  # five-year groups to 75+, as in Prem et al. (2017, 2021)
        starts = [5 * i for i in range(16)]
        people = np.array([people_by_age[(ages >= a) & (ages < b)].sum() for a, b in _spans(starts)])
    elif size == len(ages):
        starts, people = list(ages), people_by_age
    else:
        raise UserError(
            f"{files.describe()}: contact matrices of {size} groups fit no age distribution of {len(ages)}"
        )
    membership = _membership(age_groups, starts, location)
    sizes = membership @ people
    if not (sizes > 0).all():
        raise UserError(f"{files.describe()}: nobody lives in age group {age_groups[int(np.argmin(sizes))]}")
    contacts = {
        layer: (membership @ (matrix * people[:, None]) @ membership.T) / sizes[:, None]
        for layer, matrix in matrices.items()
    }
    return Population(
        location.iso,
        location.name,
        location.epydemix_name,
        list(age_groups),
        sizes,
        contacts,
        ages,
        people_by_age,
    )


def _spans(starts: list[int]) -> list[tuple[int, int]]:
    return list(zip(starts, [*starts[1:], 1_000], strict=True))


def _membership(age_groups: list[str], starts: list[int], location: Location) -> np.ndarray:
    """Return an array of shape (groups, data groups): 1 where a data group belongs to a group."""
    rows = []
    for group in age_groups:
        first, last = age_bounds(group)
        rows.append([first <= a and (b - 1 <= last or last == OLDEST_AGE) for a, b in _spans(starts)])
    membership = np.array(rows, dtype=int)
    for column, start in enumerate(starts):
        if membership[:, column].sum() != 1:
            raise UserError(
                f"{location.iso}: the data have age groups starting at {', '.join(map(str, starts[:20]))}; "
                f"the model's groups cut the one from {start}"
            )
    return membership


class _PopulationFiles:
    """The CSV files of one location: from the first folder that has it, or downloaded."""

    def __init__(self, location: Location, folders: list[Path], cache_folder: Path | None):
        self.location = location
        place = f"data/{location.epydemix_name}"
        self.folder = next((f for f in folders if (f / place).is_dir()), None)
        self.cache_folder = cache_folder and cache_folder / f"epydemix-data-{DATA_VERSION}"
        self.searched = folders

    def describe(self) -> str:
        """Return location and folder, for messages."""
        return f"{self.location.iso} in {self.folder or self.cache_folder}"

    def read(self, relative: str) -> str:
        """Return the text of a file, downloaded if no folder has the location."""
        if self.folder is not None:
            try:
                return (self.folder / relative).read_text(encoding="utf-8")
            except OSError as error:
                raise UserError(
                    f"{self.folder / relative}: {error.strerror}; the population data are incomplete"
                ) from None
        if self.cache_folder is None:
            raise UserError(
                f"population {self.location.iso} has no data in {listed(self.searched)}; add its folder "
                f"data/{self.location.epydemix_name} of epydemix-data there"
            )
        cached = self.cache_folder / relative
        if not cached.is_file():
            _download(f"{DOWNLOAD_URL}/{relative}", cached, self.location.iso, self.searched)
        return cached.read_text(encoding="utf-8")

    def age_distribution(self) -> tuple[np.ndarray, np.ndarray]:
        """Return first ages and people, both of shape (rows,)."""
        relative = f"data/{self.location.epydemix_name}/demographic/age_distribution.csv"
        try:
            rows = list(csv.DictReader(io.StringIO(self.read(relative))))
            ages = np.array([int(row["group_name"].rstrip("+").split("-")[0]) for row in rows])
            people = np.array([int(float(row["value"])) for row in rows])
        except (KeyError, ValueError, AttributeError) as error:
            raise UserError(
                f"{self.describe()}: {relative} needs columns group_name and value ({error})"
            ) from None
        if len(ages) == 0 or (people < 0).any() or ages[0] != 0 or (np.diff(ages) <= 0).any():
            raise UserError(f"{self.describe()}: {relative} needs ages from 0 upwards and counts of people")
        return ages, people

    def contact_source(self) -> str:
        """Return the name of the folder with the location's contact matrices."""
        rows = csv.DictReader(io.StringIO(self.read("locations.csv")))
        for row in rows:
            if row.get("location") == self.location.epydemix_name and row.get("primary_contact_source"):
                return row["primary_contact_source"]
        raise UserError(f"{self.describe()}: locations.csv has no primary_contact_source for it")

    def contact_matrix(self, source: str, layer: str) -> np.ndarray:
        """Return contacts of one layer [1/day], shape (data groups, data groups)."""
        relative = f"data/{self.location.epydemix_name}/contact_matrices/{source}/contacts_matrix_{layer}.csv"
        try:
            matrix = np.loadtxt(io.StringIO(self.read(relative)), delimiter=",", ndmin=2)
        except ValueError as error:
            raise UserError(f"{self.describe()}: {relative}: {error}") from None
        if matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all() or (matrix < 0).any():
            raise UserError(f"{self.describe()}: {relative} must be a square table of numbers, none negative")
        return matrix


def _download(url: str, target: Path, iso: str, searched: list[Path]) -> None:
    folders = " or ".join(str(f) for f in searched)
    hint = (
        f"it is not in {folders}; set EPYDEMIX_DATA_DIR to a folder that has it"
        if searched
        else ("set EPYDEMIX_DATA_DIR to a copy of epydemix-data")
    )
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_SECONDS) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        if error.code in (429, 500, 502, 503, 504):
            raise TemporaryFault(f"population {iso}: {url} answered {error.code}; {hint}") from None
        raise UserError(f"population {iso}: {url} answered {error.code}; {hint}") from None
    except (OSError, http.client.HTTPException) as error:
        raise TemporaryFault(f"population {iso} cannot be downloaded ({error}); {hint}") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)
