"""Approximate Bayesian computation in batches, on the engine."""
