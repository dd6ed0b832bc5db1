"""Functions of the experiment's author, run: the only module that executes source text of an input.

A function that fails, or returns what cannot be used, ends the input with one line.
"""

import inspect
import itertools
import linecache
import numbers
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from modeling.failures import UserError
from modeling.plain_text import one_line
from modeling.workload import UserFunction

LARGEST_DISTANCE = 1e100  # what lies beyond stands for a draw that cannot be simulated
MOST_SHOWN = 300  # characters of an error's message
_numbers = itertools.count()


class LoadedFunction:
    """A user function, ready to be called.

    Raises
    ------
    UserError
        The script does not run, or does not define the function.
    """

    def __init__(self, function: UserFunction):
        self.script, self.name = function.script, function.name
        # a module of its own for each input, so that no input sees what another has left
        self._module = types.ModuleType(f"user_functions_{next(_numbers)}")
        self._file = f"<{self._module.__name__} {function.script}>"
        sys.modules[self._module.__name__] = self._module  # dataclasses look there
        self._guarded(lambda: exec(self._compiled(function.source), vars(self._module)))
        self._function = getattr(self._module, function.name, None)
        if not callable(self._function):
            raise UserError(f"{self.script}: it does not define a function {self.name}; build the run again")

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function.

        Raises
        ------
        UserError
            The function raised an exception; the message has the line of the script.
        """
        return self._guarded(lambda: self._function(*arguments, **named))

    def takes(self, name: str) -> bool:
        """Return whether the function takes an argument by name, besides its first."""
        others = list(inspect.signature(self._function).parameters.values())[1:]
        return any(each.name == name or each.kind is each.VAR_KEYWORD for each in others)

    def distance(self, observed: np.ndarray, simulated: np.ndarray) -> float:
        """Return the distance of two arrays of one shape, called as epydemix calls a metric.

        Raises
        ------
        UserError
            It raised an exception, or returned something else than a finite number from 0 on.
        """
        # copies, because a function may change what it gets
        returned = self(data={"data": observed.copy()}, simulation={"data": simulated.copy()})
        value = self._guarded(lambda: _number(returned))  # a class of the script may do anything here
        if value is None or not 0 <= value <= LARGEST_DISTANCE:
            raise UserError(
                f"{self.script}: {self.name} returned {one_line(self._guarded(lambda: repr(returned)), 60)}; "
                f"a distance is a number from 0 to {LARGEST_DISTANCE:g}"
            )
        return value

    def _compiled(self, source: str) -> types.CodeType:
        lines = source.splitlines(keepends=True)
        linecache.cache[self._file] = (len(source), None, lines, self._file)  # for inspect, and warnings
        return compile(source, self._file, "exec", dont_inherit=True)

    def _guarded(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit, of a script that calls exit()
            raise UserError(f"{self._place(error)}: {self.name}: {_described(error)}") from None

    def _place(self, error: BaseException) -> str:
        """Return "script:line" of the last line of the script that ran."""
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == self._file
        ]
        if not lines and isinstance(error, SyntaxError):
            lines = [error.lineno]
        return f"{self.script}:{lines[-1]}" if lines else self.script


def _number(returned: Any) -> float | None:
    """Return a number as it is, also from an array without dimensions; None for anything else."""
    value = returned.item() if isinstance(returned, np.ndarray) and returned.ndim == 0 else returned
    return float(value) if isinstance(value, numbers.Real) else None


def _described(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # its own __str__ may fail, too
        said = ""
    return one_line(f"{type(error).__name__}: {said}" if said else type(error).__name__, MOST_SHOWN)
