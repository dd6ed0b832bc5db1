"""Cloud Workflows: a language of steps in YAML, run as the service runs it, and its two REST APIs.

From the outside in: service.py puts it together; workflow_routes.py and execution_routes.py are the REST
APIs; parser.py turns a source into the blocks of blocks.py; strand.py runs them. A call leads to library/ or
connectors.py.
"""
