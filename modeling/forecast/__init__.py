"""Weekly forecasts from surveillance data alone, without a compartmental model."""
