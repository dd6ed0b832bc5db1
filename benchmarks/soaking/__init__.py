"""The parts of soak.py: the pipeline on an emulated cloud, what goes wrong there, what must come of it."""
