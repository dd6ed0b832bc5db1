"""Batch jobs submitted by hand: render a stage from its template, submit, list, cancel."""
