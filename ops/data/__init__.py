"""Surveillance data for forecasts: fetched with vintages from a hub, checked, and listed in a lock file."""
