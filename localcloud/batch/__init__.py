"""Cloud Batch: jobs of up to 100,000 tasks, run here as processes, as containers, or as null tasks.

REST API v1: https://cloud.google.com/batch/docs/reference/rest
"""
