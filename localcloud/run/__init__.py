"""Cloud Run: services, their revisions and instances, and the gateway that their callers reach."""
