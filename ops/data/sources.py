"""Where target data come from: a hub on the web, a clone of it, or one file of vintages."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ops.data.download import MISSING, Answer, download
from ops.failures import UserError
from ops.terminal import nearest

NEWEST = "target-data/target-hospital-admissions.csv"
ARCHIVED = "auxiliary-data/target-data-archive/target-hospital-admissions_{week}.csv"
MODEL_OUTPUT = "model-output/{model}/{date}-{model}.csv"
FILES = (".csv", ".csv.gz")  # endings of a file of vintages


@dataclass(frozen=True)
class Source:
    """A folder, on the web or on this machine, in the layout of the FluSight forecast hub; or one file."""

    text: str

    @property
    def is_web(self) -> bool:
        return "://" in self.text

    @property
    def is_file(self) -> bool:
        return self.text.endswith(FILES) and (self.is_web or Path(self.text).is_file())

    def address(self, path: str) -> str:
        """Return where a file of the hub is; that of "" is the source itself."""
        return f"{self.text}/{path}" if path else self.text

    def read(self, path: str, etag: str, most_bytes: int) -> Answer:
        """Return a file of the hub, or that it is missing or unchanged; raises as download()."""
        address = self.address(path)
        return download(address, etag, most_bytes) if self.is_web else _read(Path(address), most_bytes)


def open_source(text: str) -> Source:
    """Return a source that looks like one.

    Raises
    ------
    UserError
        A folder or file that does not exist or is no clone of the hub, or a page of GitHub.
    """
    source = Source(text)
    if source.is_web:
        try:
            host, _ = urlsplit(text).hostname, urlsplit(text).port  # the port is read only then
        except ValueError as error:
            raise UserError(f"TARGET_DATA_SOURCE={text}: no address ({error})") from None
        if host == "github.com":
            raise UserError(
                f"TARGET_DATA_SOURCE={text}: this is a page; write "
                "https://raw.githubusercontent.com/OWNER/NAME/BRANCH"
            )
        return source
    place = Path(text)
    if not place.is_file() and not place.is_dir():
        raise UserError(
            f"TARGET_DATA_SOURCE={nearest(place)}: no such folder or file; clone the hub "
            "(https://github.com/cdcepi/FluSight-forecast-hub) there, or name an address"
        )
    if place.is_file() and not source.is_file:
        raise UserError(f"TARGET_DATA_SOURCE={nearest(place)}: a file of vintages ends with .csv or .csv.gz")
    if not source.is_file and not (place / NEWEST).is_file():
        raise UserError(
            f"TARGET_DATA_SOURCE={nearest(place)}: no clone of the hub, because {NEWEST} is missing; "
            "name its top folder"
        )
    return source


def _read(path: Path, most_bytes: int) -> Answer:
    try:
        with open(path, "rb") as file:
            content = file.read(most_bytes + 1)
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error.strerror})") from None
    if len(content) > most_bytes:
        raise UserError(f"{nearest(path)}: more than {most_bytes:,} bytes; check TARGET_DATA_SOURCE")
    return Answer("found", content)
