"""Cloud Build: builds taken as the service takes them, and run through this machine's Docker engine."""
