"""The tile map of a weekly forecast: each jurisdiction a square about where it lies.

The layout is the one that newspapers use for the United States, with DC, and Puerto Rico in a corner.
"""

from collections.abc import Collection
from dataclasses import dataclass

from modeling.outputs.weekly_places import ABOVE, BELOW, INSIDE_50, INSIDE_95, Place
from modeling.populations import locations

ROWS = (
    "AK .. .. .. .. .. .. .. .. .. ME",
    ".. .. .. .. .. .. .. .. .. VT NH",
    "WA ID MT ND MN IL WI MI NY RI MA",
    "OR NV WY SD IA IN OH PA NJ CT ..",
    "CA UT CO NE MO KY WV VA MD DE ..",
    ".. AZ NM KS AR TN NC SC DC .. ..",
    ".. .. .. OK LA MS AL GA .. .. ..",
    "HI .. .. TX .. .. .. .. FL .. PR",
)
COLUMNS = len(ROWS[0].split())
MARKS = {INSIDE_50: "inside-50", INSIDE_95: "inside-95", ABOVE: "outside", BELOW: "outside"}
_TILES = {
    code: (row, column)
    for row, codes in enumerate(ROWS, 1)
    for column, code in enumerate(codes.split(), 1)
    if code != ".."
}


@dataclass(frozen=True)
class Tile:
    """One square: its place in the grid, counted from 1, and what is known of the jurisdiction.

    Attributes
    ----------
    reason : str
        Why a location that was asked for has no forecast.
    is_doubtful : bool
        Whether the forecast is made from doubtful data.
    """

    code: str
    name: str
    row: int
    column: int
    place: Place | None = None
    reason: str = ""
    is_doubtful: bool = False

    @property
    def mark(self) -> str:
        """Return the name of the symbol for how last week's forecast did; "" for none."""
        return MARKS.get(self.place.verdict, "") if self.place else ""


def tiles(places: list[Place], left_out: dict[str, str], doubted: Collection[str] = ()) -> list[Tile]:
    """Return all tiles of the United States, by name; none where only the nation is forecast.

    A location that the layout does not have gets a tile below it. `doubted` are locations with doubtful data.
    """
    forecast = {place.code: place for place in places if not place.is_nation}
    if not forecast:
        return []
    others = [code for code in forecast if code not in _TILES]
    spots = _TILES | {code: (len(ROWS) + 1 + n // COLUMNS, 1 + n % COLUMNS) for n, code in enumerate(others)}
    known = locations()
    names, fips = {}, {}
    for code in spots:
        location = known.get(f"US-{code}")
        names[code] = forecast[code].name if code in forecast else location.name if location else code
        fips[code] = location.fips if location else code
    return [
        Tile(
            code,
            names[code],
            *spots[code],
            forecast.get(code),
            left_out.get(fips[code], left_out.get(f"US-{code}", "")),
            fips[code] in doubted,
        )
        for code in sorted(spots, key=lambda code: (names[code], code))
    ]
