"""Google Cloud on 127.0.0.1: what a rehearsal and the tests run against instead of the real one.

Imports nothing of the rest of this repository. It follows the documentation of each service;
it has not been compared with the services themselves.
"""
