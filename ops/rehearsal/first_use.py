"""The first use after an apply, while new roles do not count yet (`--iam-delay`).

As its error tells a person to do, a rehearsal waits and repeats what was refused. An error that does not say
so is a fault of the product.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from localcloud.process import Cloud as Emulator
from modeling.refusals import MAY_NOT_COUNT_YET
from ops.failures import UserError
from ops.rehearsal.denials import asked
from ops.rehearsal.policies import forget_questions
from ops.rehearsal.questions import Questions

Result = TypeVar("Result")


def used_first(
    emulator: Emulator, delay_seconds: float, use: Callable[[], Result], questions: Questions
) -> Result:
    """Return the result of a use; it is repeated once if it was refused for roles that do not count yet.

    `delay_seconds` are real seconds, not those of the services' clock. The record is emptied before the use
    is repeated; `questions` keeps what was on it.

    Raises
    ------
    UserError
        It was refused for another reason, or again, or did not say that rights may not count yet.
    """
    try:
        return use()
    except UserError as error:
        denied = [row for row in asked(emulator.apis) if not row["by"]]
        late = [row for row in denied if row.get("later")]
        if not late or len(late) < len(denied):  # what no role allows would be forgotten with the record
            raise
        first = f"{late[0]['member'].partition(':')[2]} may not {late[0]['permission']} yet"
        if MAY_NOT_COUNT_YET not in error.problem:
            raise UserError(f"{first}, and the error does not say so: {error.problem}", exit_code=1) from None
        print(f"refused, since {first}; repeated in {delay_seconds:.0f} s: {error.problem}", flush=True)
    time.sleep(delay_seconds)
    questions.note(emulator.apis)
    forget_questions(emulator.apis)
    return use()
