"""What charts and reports show, made up: panels of a chart, rows of a forecast, facts of a run."""

import numpy as np

from modeling.outputs.panels import LEVELS, Fan, GenerationRow, Panel, Posterior, SeriesPanel
from modeling.outputs.report import RunFacts
from modeling.workload import Observed


def weekly_fan(weeks=30, first="2024-10-05", peak=900.0, unit="D"):
    step = np.timedelta64(7 if unit == "D" else 3600, unit)
    dates = np.datetime64(first, unit) + np.arange(weeks) * step
    wave = peak * np.exp(-(((np.arange(weeks) - weeks / 2) / (weeks / 5)) ** 2))
    return Fan(dates, np.outer(np.linspace(0.6, 1.5, len(LEVELS)), wave))


def posterior(name="beta", values=None):
    values = np.random.default_rng(7).normal(0.3, 0.05, 400) if values is None else values
    density, edges = np.histogram(values, bins=20, density=bool(np.ptp(values)))
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    return Posterior(name, low, median, high, edges, density)


def generation(number, epsilon, simulations, effective):
    return GenerationRow(number, epsilon, 4419.9, 400, simulations, effective)


def row(population, series, date, low=1, median=2, high=3, note="forecast"):
    values = {"low": low, "median": median, "high": high}
    return {"population": population, "series": series, "date": date, **values, "note": note}


def simulation(population="US-CA", name="United_States_California", fan=None, label="I_total"):
    series = SeriesPanel(label, projection=fan or weekly_fan())
    return Panel(population, name, "simulation", [series], trajectories=300)


def calibration(population="US-MA", **changes):
    whole = weekly_fan()
    fitted = (np.arange(30) >= 4) & (np.arange(30) < 16)
    observed = Observed("admissions", ["I_to_H_total"], whole.dates, whole.curves[3], fitted)
    fit = Fan(whole.dates[fitted], whole.curves[:, fitted])
    panel = Panel(
        population,
        "United_States_Massachusetts",
        "calibration",
        [SeriesPanel("admissions", observed, fit, whole)],
        trajectories=200,
        posteriors=[posterior("beta"), posterior("gamma")],
        generations=[
            GenerationRow(0, None, 4419.9, 400, 400, 400.0),
            GenerationRow(1, 1180.0, 1179.1, 400, 4810, 88.25),
        ],
        simulations=5210,
    )
    for field, value in changes.items():
        setattr(panel, field, value)
    return panel


def run_facts(**changes):
    facts = {
        "exp_id": "flu/2026-w05",
        "run_id": "20260131-120000-1a2b3c4d",
        "workflow": "calibration",
        "suite": "builtin",
        "seed": 42,
        "created_at": "2026-01-31T12:00:00Z",
        "finished_at": "2026-01-31T12:41:07Z",
        "num_workloads": 3,
        "num_results": 3,
    }
    return RunFacts(**(facts | changes))


def sampling(lines=60):
    panel = simulation("US-NY", "United_States_New_York")
    panel.kind, panel.sets = "sampling", lines
    fan = panel.series[0].projection
    panel.series[0].lines = [(fan.dates, fan.curves[3] * (0.5 + i / 60)) for i in range(lines)]
    return panel
