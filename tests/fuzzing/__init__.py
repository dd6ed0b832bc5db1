"""Mutants of experiments, data and artifacts: each is refused in a few lines, or gives a valid run.

What a mutant is stands in mutants.py, what is done with one in trials.py. `invoke fuzz` runs any number of them,
tests/test_fuzz.py a fixed number with a fixed seed.
"""
