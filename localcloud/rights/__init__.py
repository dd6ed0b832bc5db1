"""IAM as the service enforces it: who asks, for which permission, on which resource, and what allows it."""
