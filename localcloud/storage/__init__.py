"""Cloud Storage: its JSON API, and the part of the XML API that client libraries use.

There are no object versions and no access control: whoever reaches the port may do everything.
"""
