"""A forged result is refused, and nothing is written."""

import datetime
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from modeling.workload import HubCounts, Result
from tests.forgeries import (
    forge,
    having,
    having_expected,
    put_record,
    put_without_arrays,
    refused,
    result_path,
    text,
)


def having_paths(**changes) -> Callable[[Result], Result]:
    return lambda r: replace(
        r,
        trajectories=replace(r.trajectories, **{n: change(r.trajectories) for n, change in changes.items()}),
    )


def having_generation(**changes) -> Callable[[Result], Result]:
    return lambda r: replace(r, generations=[replace(r.generations[0], **changes), *r.generations[1:]])


def having_hub_counts(dates: np.ndarray, values: np.ndarray) -> Callable[[Result], Result]:
    def change(result: Result) -> Result:
        observed = replace(result.fits[0].observed, hub_counts=HubCounts("data/x.csv", dates, values))
        return replace(result, fits=[replace(result.fits[0], observed=observed)])

    return change


FORGED = {
    "a population that climbs": (having(population="../../../evil"), "its population is '../../../evil'"),
    "another population": (
        having(population="US-MA"),
        "its population is 'US-MA', but that of its input is 'US-VT'",
    ),
    "another name": (having(population_name="Elsewhere"), "its population_name is 'Elsewhere'"),
    "another ensemble": (having(primary_id=1), "its primary_id is 1"),
    "another set": (having(set_index=1), "its set_index is 1"),
    "more sets": (having(set_count=10**9), "its set_count is"),
    "a part of more": (having(ensemble_total=10**12), "its ensemble_total is"),
    "a later part": (having(first_trajectory=10**12), "its first_trajectory is"),
    "a list for a number": (having(index=[0]), "Result.index is a list instead of a whole number"),
    "a flag for a number": (
        having(primary_id=False),
        "Result.primary_id is true or false instead of a whole number",
    ),
    "a number for a text": (having(population=7), "Result.population is a whole number instead of a text"),
    "no text": (having(population="US-VT\ud800"), "Result.population is not valid Unicode"),
    "a step that is none": (having(delta_t_days=float("nan")), "time steps of nan days"),
    "an endless step": (having(delta_t_days=float("inf")), "time steps of inf days"),
    "a kind that is none": (having(kind="../forecast"), "is not a kind of result"),
    "a number for a list": (having(fits=3), "Result.fits is a whole number instead of a list"),
    "a text for people": (having_expected(people="100"), "Result.expected.people is a text"),
    "negative people": (having_expected(people=-1), "people is -1"),
    "a frequency that is none": (having_expected(frequency="W-SAT; rm"), "is not a frequency"),
    "groups that do not fit": (having_expected(groups=6), "series of 6 age groups and a total"),
    "a date far away": (
        having_expected(last_date=datetime.date(9999, 12, 31)),
        "is not a date from 1900 to 2200",
    ),
    "dates far away": (
        having_paths(dates=lambda t: t.dates + np.timedelta64(400 * 365, "D")),
        "are not within 1900 to 2200",
    ),
    "a date that is none": (
        having_paths(dates=lambda t: np.append(t.dates[:-1], np.datetime64("NaT"))),
        "its dates do not increase",
    ),
    "a date twice": (having_paths(dates=lambda t: np.append(t.dates[:-1], t.dates[-2])), "do not increase"),
    "counts in days": (
        having_paths(in_compartments=lambda t: t.in_compartments.astype("datetime64[s]")),
        "counts: an array of datetime64[s]",
    ),
    "counts without trajectories": (
        having_paths(in_compartments=lambda t: t.in_compartments[0]),
        "with 2 dimensions",
    ),
    "counts that are objects": (
        having_paths(in_compartments=lambda t: t.in_compartments.astype(object)),
        "an array of type 'O8'",
    ),
    "counts that are a list": (
        having_paths(in_compartments=lambda t: t.in_compartments.tolist()),
        "in_compartments is a list instead of an array",
    ),
    "a series twice": (
        having_paths(compartments=lambda t: [t.compartments[0], *t.compartments[:-1]]),
        "duplicate 'S_0-17' among its compartments",
    ),
    "a number among the series": (
        having_paths(compartments=lambda t: [1, *t.compartments[1:]]),
        "compartments is a whole number instead of a text",
    ),
    "no trajectories": (
        lambda r: replace(having_expected(trajectories=0)(r), trajectories=None),
        "without traj",
    ),
    "a parameter of words": (having(parameters={"R0": "2"}), "parameters is a text"),
    "an array of words": (having(parameters={"R0": np.array(["2"])}), "an array of type 'U1'"),
    "half an ensemble's start": (having(initial={"S_total": [1]}), "initial is a list"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_result_is_refused_and_nothing_is_written(run, name):
    change, fragment = FORGED[name]
    forge(run, change)
    before = result_path(run).read_bytes()

    line = refused(run, "output")

    assert fragment in line
    assert "result_0000.pkl was made by another version of the code (" in line
    assert result_path(run).read_bytes() == before
    assert not (run.run_folder / "outputs").exists()
    assert not list(run.folder.rglob("evil*"))


FORGED_FITS = {
    "a generation twice": (lambda r: replace(r, generations=r.generations * 2), "which do not increase"),
    "no fit": (having(fits=[]), "a calibration without posterior or fit"),
    "particles of another kind": (
        lambda r: replace(r, generations=[replace(r.generations[0], particles=np.array([[True]]))]),
        "posterior of generation 0: an array of bool",
    ),
    "an epsilon below nothing": (having_generation(epsilon=-1.0), "generation 0: epsilon is -1.0"),
    "an epsilon that is none": (having_generation(epsilon=float("nan")), "generation 0: epsilon is nan"),
    "an epsilon without end": (having_generation(epsilon=float("inf")), "generation 0: epsilon is inf"),
    "more accepted than simulated": (having_generation(simulations=1), "accepted of 1 simulations"),
    "simulations below nothing": (having_generation(simulations=-5), "accepted of -5 simulations"),
    "simulations beyond number": (having_generation(simulations=10**20), f"accepted of {10**20} simulations"),
    "a word for epsilon": (having_generation(epsilon="small"), "epsilon is a text"),
    "endless particles": (
        lambda r: replace(
            r, generations=[replace(r.generations[0], particles=r.generations[0].particles * 1e300)]
        ),
        "is not a distribution",
    ),
    "a compared series that is none": (
        lambda r: replace(r, fits=[replace(r.fits[0], observed=replace(r.fits[0].observed, series=["x"]))]),
        "it is compared with 'x', which is not simulated",
    ),
    "a hub's counts of other dates": (
        having_hub_counts(np.array(["2025-01-11"], "datetime64[D]"), np.array([1.0, 2.0])),
        "counts of the hub: 2 values for 1 dates",
    ),
    "a hub's counts below nothing": (
        having_hub_counts(np.array(["2025-01-11"], "datetime64[D]"), np.array([-1.0])),
        "counts of the hub: negative counts",
    ),
    "nothing that is fitted": (
        lambda r: replace(
            r,
            fits=[
                replace(
                    r.fits[0], observed=replace(r.fits[0].observed, fitted=~r.fits[0].observed.fitted[:3])
                )
            ],
        ),
        "dates, values and fitted flags have different lengths",
    ),
    "a particle behind no projection": (
        having(projected=np.ones((8, 2))),
        "projected particles of shape (8, 2)",
    ),
}


@pytest.mark.parametrize("name", FORGED_FITS)
def test_a_forged_calibration_is_refused(calibration, name):
    change, fragment = FORGED_FITS[name]
    forge(calibration, change)

    assert fragment in refused(calibration, "output")


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


HUGE = (10**11).to_bytes(8, "little")
LONG = b"\x8a\x08" + HUGE
DOUBLE = named("numpy", "dtype") + text("f8") + b"\x89\x88\x87R"
RAW = {
    "an array that is made as large as it says": (
        b"\x80\x05" + named("numpy._core.multiarray", "_reconstruct") + named("numpy", "ndarray")
        + LONG + b"\x85" + b"C\x01b" + b"\x87R.",
        "it contains another kind of record",
    ),
    "an array by its class": (b"\x80\x05" + named("numpy", "ndarray") + LONG + b"\x85\x85R.", "not a record"),
    "an array of fewer bytes than it says": (
        b"\x80\x05" + named("numpy._core.numeric", "_frombuffer")
        + b"(" + b"C\x00" + DOUBLE + LONG + b"\x85" + text("C") + b"tR.",
        "in 0 bytes",
    ),
    "bytes that are not there": (b"\x80\x05\x96" + HUGE + b".", "cut short"),
    "a place in memory": (b"\x80\x05]r\xff\xff\xff\x7f.", "opcode 0x72"),
    "a whole number without end": (b"\x80\x05\x8b\xff\xff\xff\x7f.", "opcode 0x8b"),
    "lists without end": (b"\x80\x05" + b"]" * 2_000_001 + b".", "too many parts"),
    "a key nested a million times": (b"\x80\x05})" + b"\x85" * 1_000_000 + b"K\x01s.", "too many parts"),
    "another attribute of a class": (
        b"\x80\x05" + named("modeling.workload", "Trajectories") + b"N}" + text("count") + b"K\x05s\x86b.",
        "not a record",
    ),
    "a class of Python": (b"\x80\x05" + named("builtins", "str") + b".", "names builtins.str, which is not"),
}  # fmt: skip


@pytest.mark.parametrize("put", [put_record, put_without_arrays], ids=["older version", "this version"])
@pytest.mark.parametrize("name", RAW)
def test_a_record_takes_no_more_memory_than_it_has_bytes(run, name, put):
    record, fragment = RAW[name]
    put(run, record)

    assert fragment in refused(run, "output")


@pytest.mark.parametrize("put", [put_record, put_without_arrays], ids=["older version", "this version"])
def test_a_result_is_not_unpacked_beyond_what_its_input_can_give(run, put):
    put(run, b"\x80\x05\x8e" + (10**9).to_bytes(8, "little") + bytes(100 << 20))

    line = refused(run, "output")

    assert "it unpacks to more than 64 MiB, the most that is possible" in line


def test_no_name_of_a_result_becomes_a_path_of_the_real_stage(run):
    forge(run, having(population=f"../../../../../../..{run.folder}/evil"))

    done = run.run("output")

    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert not list(run.folder.rglob("evil*"))
