"""Jobs of Batch by hand: a stage rendered from its template, submitted, listed, cancelled."""
