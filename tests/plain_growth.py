"""The method growth_regression once more, as plainly as can be: one row, one location, one season at a time.

Written from docs/growth-regression.md, with nothing of modeling/forecast: two programs that agree are right
or share a misunderstanding of the page. Constants are repeated here on purpose.
"""

import datetime
import math
from itertools import pairwise
from statistics import NormalDist, median

import numpy as np

from modeling.forecast_records import History, Surveillance
from modeling.hubs import QUANTILES, hub_populations

HHS_REGIONS = (  # FIPS codes
    "09 23 25 33 44 50|34 36 72|10 11 24 42 51 54|01 12 13 21 28 37 45 47|17 18 26 27 39 55|"
    "05 22 35 40 48|19 20 29 31|08 30 38 46 49 56|04 06 15 32|02 16 41 53"
)
REGION = {code: number for number, codes in enumerate(HHS_REGIONS.split("|")) for code in codes.split()}
WEEK = datetime.timedelta(days=7)
VOLUNTARY = datetime.date(2024, 5, 1), datetime.date(2024, 10, 31)


def plain_forecast(
    known: Surveillance, places: list[str], people: np.ndarray, history: History | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return quantiles, shape (5, locations, 23), and the counts that they start from."""
    counts = filled(known.counts, lambda v: math.log(v + 1), lambda v: math.exp(v) - 1)
    counts = guarded(counts, places)
    found = [ratios_of_age(known, age) for age in range(3)]
    for age, (ratios, _) in enumerate(found):
        shifts = expected(ratios, age)
        for j in range(len(places)):
            counts[-1 - age, j] = max((counts[-1 - age, j] + 1) * math.exp(shifts[j]) - 1, 0)
    own = Series(counts, places, people, known.first_week, season(known.last_week))
    sources = [own]
    if history is not None:
        sources.append(pseudo_admissions(history, season(known.last_week)))
    values = np.empty((5, len(places), 23))
    for j in range(len(places)):
        newest = max(t for t in range(len(counts)) if not math.isnan(counts[t, j]))
        for row, horizon in enumerate(range(-1, 4)):
            target = known.reference_date + horizon * WEEK
            steps = (target - own.days[newest]).days // 7
            if steps >= 1:
                log_rates = grown(sources, newest, j, steps)
            else:
                log_rates = revised(own, newest + steps, j, found)
            for level in range(23):
                value = math.exp(log_rates[level]) * people[j] / 100_000 - 1
                values[row, j, level] = round(max(value, 0))
    return np.sort(values, axis=-1), counts


def season(day: datetime.date) -> int:
    return day.year if day.month >= 8 else day.year - 1


def saturday_of(day: datetime.date) -> datetime.date:
    while day.weekday() != 5:
        day += datetime.timedelta(days=1)
    return day


def thanksgiving(year: int) -> datetime.date:
    days = [datetime.date(year, 11, n) for n in range(1, 31)]
    return [day for day in days if day.weekday() == 3][3]


def filled(values: np.ndarray, there=float, back=float) -> np.ndarray:
    """Fill gaps between known weeks by a straight line on some scale."""
    values = values.copy()
    for j in range(values.shape[1]):
        known = [t for t in range(len(values)) if not math.isnan(values[t, j])]
        for a, b in pairwise(known):
            for t in range(a + 1, b):
                share = (t - a) / (b - a)
                values[t, j] = back((1 - share) * there(values[a, j]) + share * there(values[b, j]))
    return values


def guarded(y: np.ndarray, places: list[str]) -> np.ndarray:
    """Replace drops of the three newest weeks, then a rise in the newest week of a location."""
    y = y.copy()
    states = [j for j, name in enumerate(places) if name != "US"]
    last = len(y) - 1
    drops, rises = ([(last - age, is_drop) for age in (2, 1, 0)] for is_drop in (True, False))
    for t, is_drop in [*drops, *rises]:
        changes = [math.log((y[t, j] + 1) / (y[t - 1, j] + 1)) for j in states]
        changes = [each for each in changes if not math.isnan(each)]
        usual = median(changes) if len(changes) >= 10 else 0.0
        added = 0.0
        for j in states:
            before = y[t - 3 : t, j]
            if np.isnan(before).any() or math.isnan(y[t, j]):
                continue
            level = before.min() if is_drop else before.max()
            beside = math.log((y[t, j] + 1) / (level + 1)) - usual
            most = 0.9 + 2.5 / math.sqrt(level + 1)
            if is_drop and beside < -most and level > 30:
                new = (y[t - 1, j] + 1) * math.exp(usual) - 1
            elif not is_drop and beside > most and y[t, j] > 30 and np.isnan(y[t + 1 :, j]).all():
                new = (level + 1) * math.exp(usual) - 1
            else:
                continue
            new = max(new, 0)
            added += new - y[t, j]
            y[t, j] = new
        if "US" in places:
            y[t, places.index("US")] = max(y[t, places.index("US")] + added, 0)
    return y


def ratios_of_age(known: Surveillance, age: int) -> tuple[np.ndarray, np.ndarray]:
    """Return log ratios of counts known now to first reported ones, and these; (vintages, locations)."""
    old = [each for each in known.earlier if known.last_week - each.last_week >= 3 * WEEK][-20:]
    ratios, reported = [], []
    for vintage in old:
        row = (vintage.last_week - age * WEEK - known.first_week).days // 7
        first = vintage.counts[2 - age]
        ratios.append(np.log((known.counts[row] + 1) / (first + 1)))
        reported.append(first)
    shape = (len(old), known.counts.shape[1])
    return np.array(ratios).reshape(shape), np.array(reported).reshape(shape)


def expected(ratios: np.ndarray, age: int) -> list[float]:
    if len(ratios) < 3:
        return [(0.08, 0.03, 0.01)[age]] * ratios.shape[1]
    every = median(v for v in ratios.ravel() if not math.isnan(v))
    shifts = []
    for column in ratios.T:
        own = [v for v in column if not math.isnan(v)]
        middle = median(own) if own else 0
        shifts.append(min(max((len(own) * middle + 8 * every) / (len(own) + 8), -0.1), 0.5))
    return shifts


class Series:
    """A surveillance series: counts of weeks and locations, and log rates of these, of region and nation."""

    def __init__(self, counts, places, people, first_week, current, between=(-14, 26), least=0.0, run_in=0):
        self.y, self.people, self.places, self.is_history = counts, people, places, run_in > 0
        self.between, self.least, self.run_in = between, least, run_in
        self.days = [first_week + t * WEEK for t in range(len(counts))]
        self.season = [season(day) for day in self.days]
        christmas = [saturday_of(datetime.date(s, 12, 25)) for s in self.season]
        self.x = [(day - c).days // 7 for day, c in zip(self.days, christmas, strict=True)]
        holiday = [saturday_of(thanksgiving(s)) for s in self.season]
        self.th = [(day - h).days // 7 for day, h in zip(self.days, holiday, strict=True)]
        self.z = np.log((counts + 1) / people * 100_000)
        self.nation, self.region = np.empty(len(counts)), np.empty(counts.shape)
        states = [j for j, name in enumerate(places) if name != "US"]
        for t in range(len(counts)):
            self.nation[t] = self.together(t, states)
            if "US" in places and not math.isnan(self.y[t, places.index("US")]):
                self.nation[t] = self.z[t, places.index("US")]
            for j, name in enumerate(places):
                near = [i for i in states if REGION[places[i]] == REGION.get(name)]
                self.region[t, j] = self.together(t, near) if near else self.nation[t]
        begun = {s for s, x in zip(self.season, self.x, strict=True) if x <= -10}
        self.begun, self.complete = begun, sorted(s for s in begun if s < current)
        self.maximum, self.total = np.empty(counts.shape), np.empty(counts.shape)
        for j in range(len(places)):
            for t in range(len(counts)):
                weeks = [i for i in range(t + 1) if self.season[i] == self.season[t]]
                rates = [self.z[i, j] for i in weeks if not math.isnan(self.z[i, j])]
                self.maximum[t, j] = max(rates, default=math.nan)
                self.total[t, j] = sum(math.exp(rate) for rate in rates)
        self.fits = {}
        self.past = {s: self.past_totals(s) for s in set(self.season)}

    def together(self, t, columns):
        known = [j for j in columns if not math.isnan(self.y[t, j])]
        if not known:
            return math.nan
        return math.log((sum(self.y[t, known]) + 1) / sum(self.people[known]) * 100_000)

    def past_totals(self, of):
        compared = [s for s in self.complete if s < of]
        compared = compared or [s for s in self.complete if s != of] or self.complete
        means = []
        for j in range(len(self.places)):
            totals = []
            for s in compared:
                rates = [self.z[t, j] for t in range(len(self.z)) if self.season[t] == s]
                rates = [rate for rate in rates if not math.isnan(rate)]
                if len(rates) >= 20:
                    totals.append(sum(math.exp(rate) for rate in rates) + 0.1)
            means.append(np.mean(totals) if totals else math.nan)
        return [np.nanmean(means) if math.isnan(each) else each for each in means]

    def predictors(self, t, j, k):
        def growth(values, weeks):
            return (values[t] - values[t - weeks]) / weeks if t >= weeks else math.nan

        x, th, own, nation = self.x[t], self.th[t], self.z[:, j], self.nation
        early = x < 0
        bumps = [math.exp(-((x - c) ** 2) / (2 * 3**2)) for c in (-10, -6, -2, 2, 6, 10, 14, 18, 22)]
        holidays = [x + k == 0, x == 0, x + k == 1, x == 1, x + k == 2, x == 2, th + k == 0, th == 0]
        grows = [growth(own, 1), growth(own, 2), growth(own, 4), growth(nation, 1), growth(nation, 2)]
        depletion = [
            own[t] - self.maximum[t, j],
            math.log(self.total[t, j] + 0.1) - math.log(self.past[self.season[t]][j]),
        ]
        again = [growth(own, 2) * early, growth(nation, 2) * early, own[t] * early]
        rest = [growth(self.region[:, j], 2), own[t], nation[t], *depletion, 1 / (self.y[t, j] + 1)]
        return [*bumps, *map(float, holidays), *grows, *rest, *again]

    def may_train(self, t):
        is_voluntary = VOLUNTARY[0] <= self.days[t] <= VOLUNTARY[1]
        return t >= self.run_in and not is_voluntary

    def rows(self, centre, k):
        """Yield predictors, growth, count, season, week of the season, and kind of each row."""
        for t in range(4, len(self.y) - k):
            low, high = self.between
            if not low <= self.x[t] <= high or abs(self.x[t] - centre) > 12:
                continue
            if self.season[t] not in self.begun or not all(map(self.may_train, (t - 4, t, t + k))):
                continue
            for j, name in enumerate(self.places):
                seen = self.predictors(t, j, k)
                growth = self.z[t + k, j] - self.z[t, j]
                if np.isfinite([*seen, growth]).all() and math.exp(self.z[t, j]) > self.least:
                    kind = "history" if self.is_history else "nation" if name == "US" else "state"
                    yield seen, growth, self.y[t, j], self.season[t], self.x[t], kind


def pseudo_admissions(history: History, current: int) -> Series:
    days = [history.first_week + t * WEEK for t in range(len(history.values))]
    weeks = [t for t, day in enumerate(days) if season(day) < current]
    values = filled(history.values[weeks])
    people = np.array([hub_populations()[name] for name in history.locations])
    rates = np.full(values.shape, math.nan)
    for j in range(values.shape[1]):
        peaks = []
        for s in sorted({season(days[t]) for t in weeks}):
            own = [t for t in weeks if season(days[t]) == s and not math.isnan(values[t, j])]
            if not own:
                continue
            level = np.quantile(values[own, j], 0.3)
            for t in own:
                rates[t, j] = max(values[t, j] - level, 0)
            peaks.append(max(rates[own, j]))
        rates[:, j] *= 13 / np.mean(peaks)
    counts = rates * people / 100_000
    return Series(counts, history.locations, people, history.first_week, current, (-10, 18), 1.0, 60)


def grown(sources: list[Series], t: int, j: int, k: int) -> list[float]:
    own = sources[0]
    if (t, k) not in own.fits:
        own.fits[t, k] = fitted(sources, min(max(own.x[t], -14), 26), k)
    mean, sd, slope, level, errors, count, kind = own.fits[t, k]
    now = np.clip((np.array(own.predictors(t, j, k)) - mean) / sd, -3.5, 3.5)
    quantiles = kernel_quantiles(errors, count, kind, own.y[t, j], own.places[j] == "US")
    return [own.z[t, j] + now @ slope + level + q - quantiles[11] / 2 for q in quantiles]


def fitted(sources: list[Series], centre: int, k: int) -> tuple:
    """Return the regression around a week of the season, with its errors in seasons left out."""
    rows = [row for series in sources for row in series.rows(centre, k)]
    seen, growth, count, of, x, kind = (np.array(column) for column in zip(*rows, strict=True))
    weight = np.sqrt(count + 1) * np.exp(-((x - centre) ** 2) / (2 * 4**2))
    past = kind == "history"
    if past.any():
        weight[past] *= 0.5 * weight[~past].mean() / weight[past].mean()
    mean = np.average(seen, axis=0, weights=weight)
    sd = np.sqrt(np.average((seen - mean) ** 2, axis=0, weights=weight))
    sd[sd < 1e-9] = math.inf
    standard, clipped = (seen - mean) / sd, np.clip(growth, -2.2, 2.2)
    errors = np.empty(len(growth))
    for s in set(of.tolist()):
        others = of != s
        slope, level = ridge(standard[others], clipped[others], weight[others])
        errors[~others] = growth[~others] - level - standard[~others] @ slope
    seasons = len(set(of.tolist()))
    if seasons > 1:  # one that is left out is forecast from one season less than a new one
        errors *= math.sqrt((1 + 1 / seasons) / (1 + 1 / (seasons - 1)))
    return mean, sd, *ridge(standard, clipped, weight), errors, count, kind


def ridge(standard, growth, weight):
    """Minimise the weighted mean square error + 0.03 |slope|^2, by least squares with further rows."""
    share = np.sqrt(weight / weight.sum())[:, None]
    number = standard.shape[1]
    design = np.hstack([standard, np.ones((len(standard), 1))]) * share
    penalty = np.hstack([math.sqrt(0.03) * np.eye(number), np.zeros((number, 1))])
    target = np.concatenate([growth * share[:, 0], np.zeros(number)])
    found = np.linalg.lstsq(np.vstack([design, penalty]), target, rcond=None)[0]
    return found[:-1], found[-1]


def kernel_quantiles(errors, count, kind, own_count, is_nation) -> list[float]:
    width = 2 if is_nation else 0.8
    counts_for = {"state": 0.1 if is_nation else 1, "nation": 1 if is_nation else 0.03}
    counts_for["history"] = 0.3 * counts_for["state"]
    weight = [
        counts_for[k] * math.exp(-(((math.log(n + 1) - math.log(own_count + 1)) / width) ** 2) / 2)
        for n, k in zip(count.tolist(), kind.tolist(), strict=True)
    ]
    pairs = sorted(zip(errors.tolist(), weight, strict=True), key=lambda pair: pair[0])
    values, middles, reached = [], [], 0.0
    for value, own in pairs:
        values.append(value)
        middles.append(reached + own / 2)
        reached += own
    return [float(np.interp(level * reached, middles, values)) for level in QUANTILES]


def revised(own: Series, t: int, j: int, found) -> list[float]:
    ratios, reported = found[min(len(own.y) - 1 - t, 2)]
    if len(ratios) < 3:
        return [own.z[t, j] + 0.1 * NormalDist().inv_cdf(level) for level in QUANTILES]
    shifts = expected(ratios, min(len(own.y) - 1 - t, 2))
    errors, count, kind = [], [], []
    for i in range(len(ratios)):
        for column, name in enumerate(own.places):
            if abs(ratios[i, column]) < 0.7:
                errors.append(ratios[i, column] - shifts[column])
                count.append(reported[i, column])
                kind.append("nation" if name == "US" else "state")
    spread = kernel_quantiles(
        np.array(errors), np.array(count), np.array(kind), own.y[t, j], own.places[j] == "US"
    )
    return [own.z[t, j] + q for q in spread]
