"""Mutants of experiments, data and artifacts: each is refused in a few lines, or gives a valid run.

Mutants are in mutants.py, what is done with one in trials.py, a run whose artifacts are mutated in
finished_run.py. `invoke fuzz` runs any number of them; tests/long/test_fuzz.py a fixed number with a fixed
seed.
"""
