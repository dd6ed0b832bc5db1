"""Runs in the cloud: started, followed, rehearsed, started once more and compared."""
