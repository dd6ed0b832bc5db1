"""Stage C: from results to tables, charts and a report."""
