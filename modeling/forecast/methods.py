"""The methods of a forecast from surveillance data, by the name that an experiment gives.

A method takes what is known, the locations, the people of each, and perhaps a history. It is deterministic,
uses nothing but its arguments, and returns every location.
"""

from collections.abc import Callable

import numpy as np

from modeling.forecast import growth_regression, random_walk
from modeling.forecast_records import Forecast, History, Surveillance

Method = Callable[[Surveillance, list[str], np.ndarray, History | None], Forecast]

METHODS: dict[str, Method] = {
    "growth_regression": growth_regression.forecast,
    "random_walk": random_walk.forecast,
}
