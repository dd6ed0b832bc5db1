"""Experiment -> workloads -> results -> tables and pictures. Knows no cloud and no storage."""
