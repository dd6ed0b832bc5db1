"""Runs in the cloud: start and upload them, repeat them, compare their outputs."""
