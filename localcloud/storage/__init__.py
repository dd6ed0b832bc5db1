"""Cloud Storage: its JSON API, and the part of the XML API that client libraries use.

Access is by IAM (rights/), where rights are enforced. ACLs are not emulated: a setting of one has no effect.
"""
