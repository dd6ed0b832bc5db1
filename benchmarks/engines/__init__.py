"""The parts of engine.py: models, and the processes that simulate them by each engine."""
