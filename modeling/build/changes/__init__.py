"""What changes over time in a model: seasonality, interventions, vaccine doses, as arrays of a Schedule."""
