"""What a run costs before it is started, and what earlier ones took."""
