"""Eventarc: triggers that start an execution of a workflow for each object that is finalized in a bucket."""
