"""The parts of soak.py: the pipeline on an emulated cloud, the faults it meets, the checks of the outcome."""
