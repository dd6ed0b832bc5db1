"""Cloud Build: builds are checked as the service checks them and run with this machine's Docker engine."""
