"""How good past forecasts were: the retrospective sweep, its scores, and the comparison with other models."""
