"""Deployment and checks of the Google Cloud project: Terraform, quotas, the token, rules of the bucket."""
