"""An output YAML that was put into the run's folder of the bucket after the experiment was built."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.artifacts import RunFiles
from pipeline.environment import StageContext
from pipeline.failures import UserError
from pipeline.storage import MissingFile
from pipeline.temporary import temporary_folder

UPLOADED = "output-configs/"


@contextmanager
def uploaded_output_file(context: StageContext, files: RunFiles) -> Iterator[StageContext]:
    """Yield a context whose OUTPUT_CONFIG_FILE is a file here, where it names one that was uploaded.

    Raises
    ------
    UserError
        It is not in the bucket; or what the caller finds wrong with it, under its name there.
    """
    name = context.output_config_file
    if not name.startswith(UPLOADED):
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
        except UserError as error:  # what is wrong with the file is told of the one that somebody can see
            raise UserError(str(error).replace(str(path), place)) from None
