"""The parts that the three stage scripts share.

They are started as `python scripts/main_*.py`, in the repository or at / in the image; in both places
`modeling` is beside `scripts`. Imports go one way, each module only from earlier lines:

    failures temporary logs plain_pickle secret summary machine_costs input_list
    environment storage
    manifest pickles bucket forecast_clone stage
    artifacts                       (bucket only when it is needed, since the client loads slowly)
    input_files experiment_files forecast_pack
    result_files checkpoint_files input_names
    metadata
    outputs
    main_builder main_runner main_output, and the other scripts
"""

import sys
from importlib.util import find_spec
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.append(_ROOT)

if find_spec("pydantic") is None or find_spec("numpy") is None:
    print(
        f"error: {sys.executable} is missing our packages; run `make setup`, then use .venv/bin/python",
        file=sys.stderr,
    )
    sys.exit(2)
