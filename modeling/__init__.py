"""Experiment -> workloads -> results -> tables and charts. Knows no cloud and no storage."""
