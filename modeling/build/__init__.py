"""Stage A: from a checked experiment to its workloads."""
