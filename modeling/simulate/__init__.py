"""Stage B: run a workload, or calibrate it."""
