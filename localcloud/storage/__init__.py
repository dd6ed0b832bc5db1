"""Cloud Storage: its JSON API, and as much of the XML API as client libraries use.

No object versions, no access control: whoever reaches the port may do everything.
"""
