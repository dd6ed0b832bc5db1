"""The three stages of a run, by name and by letter."""

from ops.failures import UserError

LETTERS = {"builder": "A", "runner": "B", "output": "C"}
STAGES = tuple(LETTERS)


def stage_name(stage: str) -> str:
    """Return builder, runner or output for a name or a letter A, B, C.

    Raises
    ------
    UserError
        No stage has this name.
    """
    by_letter = {letter.lower(): name for name, letter in LETTERS.items()}
    name = by_letter.get(stage.lower(), stage.lower())
    if name not in STAGES:
        raise UserError(f'"{stage}" is not a stage; use builder, runner, output, or A, B, C')
    return name
