"""Cloud Workflows: a language of steps in YAML, run as the service runs it, and its two REST APIs.

From the outside in: service.py puts it together; workflow_routes.py and execution_routes.py are the REST
APIs; parser.py reads a source into blocks.py; strand.py walks through them. A call leads to library/ or
connectors.py.
"""
