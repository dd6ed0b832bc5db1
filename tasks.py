"""The tasks of invoke, all with flat names. They are defined in ops/tasks/, by family."""

from invoke import Collection

from ops.tasks import data, evaluation, gpu, images, jobs, project, repository, runs, watching

namespace = Collection()
for family in (runs, data, evaluation, watching, gpu, jobs, images, project, repository):
    for task in Collection.from_module(family).tasks.values():
        namespace.add_task(task)
