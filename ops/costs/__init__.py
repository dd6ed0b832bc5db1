"""Estimates of the cost and duration of a run, from the times of earlier runs."""
