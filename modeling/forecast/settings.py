"""The constants of the method growth_regression, each with its reason.

docs/growth-regression.md explains them. They were chosen on the season 2024-25 (docs/forecast-quality.md).
"""

import datetime
from dataclasses import dataclass


@dataclass(frozen=True)
class FaultSettings:
    """When a jump of a count is a fault of the data.

    Attributes
    ----------
    drop_weeks, rise_weeks : int
        Newest weeks in which drops and rises are looked for. Only a rise in the newest one is replaced.
    compared_weeks : int
        Number of weeks before the jump. A drop is below the lowest of their counts, a rise above the highest.
    log_jump, log_jump_small : float
        A fault differs from them by more than the median change of all locations and log_jump +
        log_jump_small / sqrt(count before + 1), on the log scale: the second part is counting noise.
    fewest : float
        Admissions; a smaller count is no fault, since it can hardly harm.
    fewest_locations : int
        With fewer locations the median change may be a fault itself, and 0 is taken for it.
    most_common : float
        Largest median change of all locations in one week, on the log scale: a factor of three. In NHSN's
        data to 2025 the largest is 0.73, in the week of Christmas 2024.
    nation_log : float
        The nation is at most so far from the sum of its places, on the log scale; in NHSN's data to 2025, by
        0.07.
    """

    drop_weeks: int = 3
    rise_weeks: int = 4
    compared_weeks: int = 3
    log_jump: float = 0.9
    log_jump_small: float = 2.5
    fewest: float = 30
    fewest_locations: int = 10
    most_common: float = 1.1
    nation_log: float = 0.3


@dataclass(frozen=True)
class RevisionSettings:
    """How revisions of the newest weeks are learned from earlier vintages.

    Attributes
    ----------
    settled_weeks : int
        A week is taken as final when it is this much older than the newest one.
    vintages : int
        Newest ones that are used: a reporting habit lasts for months, not years.
    fewest_vintages : int
        With fewer, `default_shifts` are taken.
    default_shifts : tuple of float
        log(final / first reported) by age of the week [0, 1, 2 weeks]; medians of 2024-25, whose own first
        dates therefore know a little of what came later.
    default_spread : float
        Standard deviation of the log ratio that is taken with fewer vintages.
    shrinkage : float
        Vintages; a location's median counts as much as the median of all when it has that many.
    least, most : float
        Bounds of a shift: single corrections of half of a count say nothing about the next week.
    fault_log : float
        A log ratio beyond is a corrected fault, not a revision, and gives no spread: a factor of two.
    """

    settled_weeks: int = 3
    vintages: int = 20
    fewest_vintages: int = 3
    default_shifts: tuple[float, ...] = (0.08, 0.03, 0.01)
    default_spread: float = 0.1
    shrinkage: float = 8
    least: float = -0.1
    most: float = 0.5
    fault_log: float = 0.7


@dataclass(frozen=True)
class RowSettings:
    """Which past weeks are learned from.

    Attributes
    ----------
    window : float
        Standard deviation [weeks] of the kernel in the week of the season. Growth depends on the season, so
        weeks near the same week of past seasons count.
    reach : float
        Weeks beyond which the kernel is 0.
    first_week, last_week : int
        Weeks from Christmas between which origins lie: counts of the summer are noise.
    season_begins : int
        Week from Christmas that a season needs to have begun with; NHSN's first season began later.
    season_weeks : int
        Fewest weeks with a count of a season and location whose total is compared with.
    count_power : float
        A row weighs (count + 1) to this power: small counts are mostly counting noise.
    voluntary : (date, date)
        First and last day on which hospitals reported voluntarily; growth of those weeks is an artefact.
    run_in : int
        Weeks that the growth features look back, so that none looks into the voluntary weeks.
    """

    window: float = 4
    reach: float = 12
    first_week: int = -14
    last_week: int = 26
    season_begins: int = -10
    season_weeks: int = 20
    count_power: float = 0.5
    voluntary: tuple[datetime.date, datetime.date] = (datetime.date(2024, 5, 1), datetime.date(2024, 10, 31))
    run_in: int = 4


@dataclass(frozen=True)
class HistorySettings:
    """How another surveillance series of past seasons is pooled in.

    Attributes
    ----------
    weight : float
        Of its mean row, relative to the mean row of admissions.
    floor_quantile : float
        Of a season and location; that level is illness of other causes.
    peak_rate : float
        Admissions per 100,000 and week at a mean seasonal peak: puts both series on one scale.
    least_rate : float
        Per 100,000; origins below say nothing about an epidemic.
    first_week, last_week : int
        Weeks from Christmas between which its origins lie; others are mostly not reported.
    run_in : int
        First weeks that give no rows.
    spread_weight : float
        Of its residuals, relative to those of admissions.
    """

    weight: float = 0.5
    floor_quantile: float = 0.3
    peak_rate: float = 13
    least_rate: float = 1
    first_week: int = -10
    last_week: int = 18
    run_in: int = 60
    spread_weight: float = 0.3


@dataclass(frozen=True)
class FitSettings:
    """The regression.

    Attributes
    ----------
    ridge : float
        Penalty of a standardised coefficient, relative to the mean Gram matrix.
    most_growth : float
        Log change to which the target is clipped in the fit (not in the residuals).
    most_deviations : float
        Standard deviations to which the predictors of a forecast are clipped.
    """

    ridge: float = 0.03
    most_growth: float = 2.2
    most_deviations: float = 3.5


@dataclass(frozen=True)
class SpreadSettings:
    """Whose residuals give the intervals.

    Attributes
    ----------
    similar_log : float
        Standard deviation of the kernel in the log count: a residual counts if the count was similar.
    similar_log_nation : float
        The same for the United States, which has few rows of its own.
    wide_log : float
        The same where no row has a similar count.
    nation_for_state, state_for_nation : float
        Weight of the nation's residuals for a state, and of the states' for the nation: sums err less.
    median_shift : float
        Share of the residuals' median that is taken off.
    """

    similar_log: float = 0.8
    similar_log_nation: float = 2
    wide_log: float = 3
    nation_for_state: float = 0.03
    state_for_nation: float = 0.1
    median_shift: float = 0.5


@dataclass(frozen=True)
class Settings:
    """All constants of the method."""

    faults: FaultSettings = FaultSettings()
    revisions: RevisionSettings = RevisionSettings()
    rows: RowSettings = RowSettings()
    history: HistorySettings = HistorySettings()
    fit: FitSettings = FitSettings()
    spread: SpreadSettings = SpreadSettings()


SETTINGS = Settings()
