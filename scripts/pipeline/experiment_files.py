"""The files of an experiment: building from them, and an output YAML that was uploaded later."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from modeling.run_names import OUTPUT_CONFIGS
from pipeline.artifacts import RunFiles
from pipeline.environment import StageContext
from pipeline.failures import UserError
from pipeline.storage import MissingFile
from pipeline.temporary import temporary_folder


def build_experiment(context: StageContext):
    """Return the modeling.suites.Build of the experiment; nothing is written.

    Raises
    ------
    UserError
        Anything wrong with the experiment or its data.
    """
    from modeling.build.workloads import DataPlaces
    from modeling.suites import build

    own_populations = context.forecast_repo_dir / "data" / "epydemix-data"
    places = DataPlaces(
        data_roots=[context.forecast_repo_dir, context.config_folder.parent],
        # a folder that is set is the only one, so that no other silently fills its gaps
        population_folders=[context.epydemix_data_dir or own_populations],
        cache_folder=context.cache_folder,
        functions_allowed=context.allow_user_functions,
    )
    return build(
        suite=context.suite_to_build,
        config_folder=context.config_folder,
        output_file=context.output_config_path(),
        places=places,
        seed=context.seed,
        count=context.count,
        reference_date=context.reference_date,
        strict=context.is_strict,
    )


@contextmanager
def uploaded_output_file(context: StageContext, files: RunFiles) -> Iterator[StageContext]:
    """Yield the context, with an uploaded OUTPUT_CONFIG_FILE as a local file.

    Raises
    ------
    UserError
        The file is not in the bucket. A UserError of the block names the file in the bucket, too.
    """
    name = context.output_config_file
    if not name.startswith(OUTPUT_CONFIGS):
        yield context
        return
    with temporary_folder("output-config") as folder:
        path, place = Path(folder, Path(name).name), files.storage.get_path(files.in_prefix + name)
        try:
            path.write_bytes(files.storage.load_bytes(files.in_prefix + name))
        except MissingFile:
            raise UserError(f"OUTPUT_CONFIG_FILE={name}: there is no {place}; upload it again") from None
        try:
            yield replace(context, output_config_file=str(path))
        except UserError as error:  # name the file that the reader can find
            raise UserError(str(error).replace(str(path), place)) from None
