"""Bounds of numbers and dates, shared by all that check them: YAML, CSV, draws, inputs and results."""

import datetime

LARGEST_NUMBER = 10**15  # exact as a float, and sums of squares stay finite
LARGEST_COUNT = 10**9
LARGEST_SEED = 2**63 - 1
FIRST_DAY, LAST_DAY = datetime.date(1900, 1, 1), datetime.date(2200, 12, 31)
# of dates in a record: a reported week or month may begin before the first day, or end after the last
EARLIEST_DAY, LATEST_DAY = datetime.date(1890, 1, 1), datetime.date(2210, 1, 1)
MOST_TRAJECTORIES = 10_000_000  # of a parameter set
MOST_STEPS = 1_000_000  # of a trajectory: a century by the hour
MOST_WORKLOADS = 1_000_000  # inputs of a run
