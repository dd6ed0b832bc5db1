"""What the person may do: a question for each kind of work of docs/access.md, with the missing roles."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from ops.cloud.cloud import Cloud
from ops.cloud.held import Held, ask, resources_of
from ops.failures import UserError
from ops.people import WORK, Right, Work
from ops.project.checkup import Answer, Question
from ops.settings import Settings
from ops.terminal import counted

ASKED = "permissions"
MOST_NAMED = 4  # permissions of a role in a line


def of_works(cloud: Callable[[], Cloud], settings: Settings, after: tuple[str, ...]) -> list[Question]:
    """Return the questions: one that asks for all permissions at once, and one for each kind of work.

    A kind of work that needs a resource without a name in the settings, such as the secret, is left out.
    """
    known = resources_of(settings)
    works = {name: work for name, work in WORK.items() if any(each.on in known for each in _always(work))}
    held = cache(lambda: ask(cloud(), [right for work in works.values() for right in work.rights]))
    return [
        Question(ASKED, lambda: asked(held()), after),
        *(
            Question(f"right to {name}", lambda name=name: _may(held(), name), (ASKED,), WORK[name].is_needed)
            for name in works
        ),
    ]


def asked(held: Held) -> Answer:
    """Return how many permissions were asked for, and what could not be asked, which is no denial."""
    if not held.account:  # a dry run
        return Answer("")
    number = sum(map(len, held.granted.values()))
    limit = "conditions on the names of objects are not seen"
    said = f"{counted(number, 'permission')} on {counted(len(held.granted), 'resource')}; {limit}"
    doubts = [*dict.fromkeys(held.not_asked.values())]
    if refused := sorted(set().union(*held.unknown.values())):
        doubts.append(f"the service does not tell of {', '.join(refused)}")
    return Answer("; ".join([said, *(f"not asked: {each}" for each in doubts)]), is_warning=bool(doubts))


def verdict(held: Held, rights: Sequence[Right], tasks: str) -> Answer:
    """Return whether the person has all rights that count in the project.

    Raises
    ------
    UserError
        Names the permissions that are missing, the roles that have them, and the commands that give these.
    """
    counting = [each for each in rights if not each.without or each.without in held.absent]
    denied = {right: missing for right in counting if (missing := held.missing(right))}
    fix = " && ".join(dict.fromkeys(held.command(right) for right in denied))
    said = "; ".join(f"{_named(missing)} on {right.on} ({right.role})" for right, missing in denied.items())
    if any(not right.only_for for right in denied):
        raise UserError(f"may not: {said}", fix=fix)
    if denied:
        parts = ", ".join(dict.fromkeys(right.only_for for right in denied))
        return Answer(f"may: {tasks}; not for {parts}: {said}", is_warning=True, fix=fix)
    not_asked = [*dict.fromkeys(held.not_asked[right.on] for right in counting if right.on in held.not_asked)]
    if not_asked:
        return Answer(f"may: {tasks}, as far as is known; not asked: {'; '.join(not_asked)}", is_warning=True)
    return Answer(f"may: {tasks}")


def _may(held: Held, name: str) -> Answer:
    if not held.account:
        return Answer("")
    work = WORK[name]
    answer = verdict(held, work.rights, ", ".join(work.tasks))
    for before in _before(work):
        try:
            verdict(held, WORK[before].rights, "")
        except UserError:
            raise UserError(f"may all that it adds, but not {before}: see there") from None
    return answer


def _before(work: Work) -> Iterable[str]:
    while work.after:
        yield work.after
        work = WORK[work.after]


def _always(work: Work) -> Iterable[Right]:
    return (right for right in work.rights if not right.without and not right.only_for)


def _named(missing: Sequence[str]) -> str:
    more = len(missing) - MOST_NAMED
    return ", ".join([*missing[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
