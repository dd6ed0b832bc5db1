"""Runs on this machine: the three stages as processes or in containers, and their files."""
