"""The engine: a compiled plan simulates many particles at once, by the exact law."""
