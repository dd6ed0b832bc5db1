"""The epidemic forecast: a week's hospital admissions, or an experiment, become calibrated projections.

A `.csv` replaces the observed data of the experiment in the models folder (experiment.tar.gz); a `.tar.gz`
brings an experiment of its own. A unit is a population. Building is stage A, predicting stage B and finishing
stage C of the pipeline, so the files are those of a run of the same experiment, seed and engine.

Archives are in forecast_upload.py, tables in forecast_table.py, the build in forecast_build.py, what follows
in forecast_run.py, and the files that pass between them in forecast_files.py.
"""

from collections.abc import Sequence
from pathlib import Path

from modeling.engine.cuda.device import use_device
from services.models import Finished, Predicted, Prepared, Upload
from services.models.forecast_run import finish, predict, warm_up


class Forecast:
    """Calibrates and projects an experiment in each of its populations."""

    name = "forecast"
    version = "1"
    formats = ".csv or .tar.gz"

    def accepts(self, name: str, head: bytes) -> bool:
        """Tell whether a file is a table of admissions or an archive, by its name."""
        return name.lower().endswith((".csv", ".tar.gz", ".tgz"))

    def prepare(self, upload: Upload, models: Path, seed: int) -> Prepared:
        """Build the inputs of an upload, one unit a population.

        Parameters
        ----------
        seed : int
            Of an experiment without random_seed; with "seed" in the options, of any.

        Raises
        ------
        UserError
            The upload is damaged, its experiment or data are wrong, or no population can be built.
        """
        # not at the top: inference would load the vocabulary, YAML and populations, which it does not need
        from services.models.forecast_build import build
        from services.models.forecast_upload import opened

        with opened(upload, models) as source:
            return build(source, upload.options, seed)

    def load(self, models: Path, device: str) -> str:
        """Simulate once, so that the engine is loaded, and compiled where its machine code is missing.

        Raises
        ------
        UserError
            The engine cannot use the GPU: its driver or the code for it is missing.
        """
        use_device(device)
        warm_up()
        return device

    def predict(self, content: bytes, first: int, count: int, seed: int) -> Predicted:
        """Calibrate and project units `first` to `first + count - 1`; their seed is in the inputs.

        Raises
        ------
        UserError
            The inputs are damaged.
        """
        return predict(content, first, count)

    def finish(self, content: bytes, shards: Sequence[Predicted], folder: Path) -> Finished:
        """Write tables, charts and report; the same inputs and results give the same bytes.

        Raises
        ------
        UserError
            No unit has a result.
        """
        return finish(content, shards, folder)
