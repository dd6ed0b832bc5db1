"""An emulated Google Cloud on 127.0.0.1, which rehearsals and tests run against instead of the real one.

It follows the documentation of each service and has not been compared with the services themselves. It
imports nothing else of this repository; it only starts scripts/ and reads terraform/machine_types.json. Its
own imports run one way:

    __main__, arguments      the command line
    cloud                    the services put together
    server, wire             connections
    batch, build, monitoring, run, storage, workflows                 services with a folder each
    compute, git, iam, logs, projects, registry, secrets, services    services with a file or two each
    control, pages, filters, child, machine, identity, policies       what services are built from
    faults, labels, routing, messages, shapes, times                  ground

The folders do not import each other. supervisor.py is a program of its own. process.py and
environment.py serve the programs that use the emulator, and import nothing of it.
"""
