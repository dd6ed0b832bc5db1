"""What goes on and what came of it: status, logs, the runs in the bucket, and their files fetched."""
