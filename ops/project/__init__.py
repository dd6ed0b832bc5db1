"""The Google Cloud project: deployed, checked, and what it holds of limits, secrets and rules."""
