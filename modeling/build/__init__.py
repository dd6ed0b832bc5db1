"""Stage A: from a validated experiment to its workloads."""
