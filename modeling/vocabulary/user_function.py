"""A function of the experiment's author: a script of the forecasting repository, and a name in it."""

import keyword

from pydantic import Field, field_validator

from modeling.vocabulary.base import Piece


class UserFunction(Piece):
    """Where a function is; stage A reads the script (build/user_functions.py)."""

    user_script_path: str = Field(
        description="the script, relative to the forecasting repository, e.g. data/functions.py"
    )
    user_function_name: str = Field(description="name of the function in the script")

    @field_validator("user_script_path")
    @classmethod
    def _inside_the_repository(cls, path: str) -> str:
        if path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/"):
            raise ValueError(
                f'user_script_path: "{path}" must lie in the forecasting repository; write a path relative '
                "to it without .., such as data/functions.py"
            )
        if not path.endswith(".py") or not path.isprintable():
            raise ValueError(
                f'user_script_path: "{path}" is not a Python script; name a file such as data/functions.py'
            )
        return path

    @field_validator("user_function_name")
    @classmethod
    def _a_name(cls, name: str) -> str:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f'user_function_name: "{name}" is not the name of a Python function')
        return name
