"""Status, logs, results and downloads of runs in the cloud."""
