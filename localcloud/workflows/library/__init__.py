"""The standard library: functions and constants by the names that workflows use.

https://cloud.google.com/workflows/docs/reference/stdlib/overview
"""

from localcloud.workflows.library.basics import BASICS
from localcloud.workflows.library.data import DATA
from localcloud.workflows.library.http import HTTP, HTTP_CONSTANTS
from localcloud.workflows.library.system import SYSTEM
from localcloud.workflows.library.text import TEXT

FUNCTIONS = {**BASICS, **DATA, **HTTP, **SYSTEM, **TEXT}
CONSTANTS = HTTP_CONSTANTS
