"""What exists in the project on Google Cloud: executions, jobs, the bucket, logs, machines, prices."""
