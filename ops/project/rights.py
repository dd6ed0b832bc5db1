"""What the person may do: a question for each kind of work of ops/people.py, with the missing roles."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache

from ops.cloud.cloud import Cloud
from ops.cloud.held import YOU, Held, ask
from ops.failures import UserError
from ops.people import WORK, Right, Work
from ops.project.checkup import Answer, Question
from ops.terminal import counted

ASKED = "permissions"
MOST_NAMED = 4  # permissions of a role in a line
WHO_YOU_ARE = f"{YOU} in a command is you, user:EMAIL or serviceAccount:EMAIL: gcloud names no account"


def of_works(
    cloud: Callable[[], Cloud],
    known: Mapping[str, str],
    after: tuple[str, ...],
    works: Mapping[str, Work] = WORK,
    to_come: Collection[str] = (),
) -> list[Question]:
    """Return the questions: one that asks for all permissions at once, and one for each kind of work.

    A kind of work that needs a resource without a name in the settings, such as the secret, is left out.

    Parameters
    ----------
    known : mapping
        The names of the resources that the settings name, as people.py calls them.
    to_come : collection of str
        Those of them that a deployment makes, so they may be missing.
    """
    shown = {name: work for name, work in works.items() if any(each.on in known for each in _always(work))}

    @cache
    def held() -> Held:
        return ask(cloud(), _of_all(shown), known)

    return [
        Question(ASKED, lambda: asked(held(), to_come, list(_of_all(shown))), after),
        *(
            Question(
                f"right to {name}",
                lambda name=name: _may(held(), works, name, to_come),
                (ASKED,),
                work.is_needed,
            )
            for name, work in shown.items()
        ),
    ]


def asked(held: Held, to_come: Collection[str] = (), rights: Sequence[Right] = ()) -> Answer:
    """Return how many permissions were asked for, and what could not be asked, which is no denial.

    What is `to_come` may be missing. If one of the `rights` is not held, and the command that gives it has a
    placeholder for the person, the answer says what to put there.
    """
    if not held.account:  # a dry run
        return Answer("")
    number = sum(map(len, held.granted.values()))
    limit = "conditions on the names of objects are not seen"
    said = f"{counted(number, 'permission')} on {counted(len(held.granted), 'resource')}; {limit}"
    later = _later(held, to_come)
    doubts = [*dict.fromkeys(why for on, why in held.not_asked.items() if on not in later)]
    if refused := sorted(set().union(*held.unknown.values())):
        doubts.append(f"the service does not tell of {', '.join(refused)}")
    not_yet = [f"not asked yet: {why}" for on, why in held.not_asked.items() if on in later]
    you = [WHO_YOU_ARE] if not held.is_named and any(map(held.missing, _counting(held, rights))) else []
    said = "; ".join([said, *you, *not_yet, *(f"not asked: {each}" for each in doubts)])
    return Answer(said, is_warning=bool(doubts))


def verdict(held: Held, rights: Sequence[Right], tasks: str, to_come: Collection[str] = ()) -> Answer:
    """Return whether the person has all rights that count in the project; what is `to_come` may be missing.

    Raises
    ------
    UserError
        Names the permissions that are missing, the roles that have them, and the commands that give these.
    """
    counting = _counting(held, rights)
    denied = {right: missing for right in counting if (missing := held.missing(right))}
    fix = " && ".join(dict.fromkeys(held.command(right) for right in denied))
    said = "; ".join(f"{_named(missing)} on {right.on} ({right.role})" for right, missing in denied.items())
    if any(not right.only_for for right in denied):
        raise UserError(f"may not: {said}", fix=fix)
    if denied:
        parts = ", ".join(dict.fromkeys(right.only_for for right in denied))
        return Answer(f"may: {tasks}; not for {parts}: {said}", is_warning=True, fix=fix)
    unasked = {right.on: held.not_asked[right.on] for right in counting if right.on in held.not_asked}
    if not unasked:
        return Answer(f"may: {tasks}")
    is_warning = not _later(held, to_come).issuperset(unasked)
    said = f"not asked{'' if is_warning else ' yet'}: {'; '.join(dict.fromkeys(unasked.values()))}"
    if any(right.on in held.granted for right in counting):
        said = f"may: {tasks}, as far as is known; {said}"
    return Answer(said, is_warning)


def _counting(held: Held, rights: Iterable[Right]) -> list[Right]:
    """Return the rights that are needed, with those that are only needed where a resource does not exist."""
    return [each for each in rights if not each.without or each.without in held.absent]


def _later(held: Held, to_come: Collection[str]) -> frozenset[str]:
    """Return what does not exist, and need not exist yet."""
    return held.absent.intersection(to_come)


def _may(held: Held, works: Mapping[str, Work], name: str, to_come: Collection[str]) -> Answer:
    if not held.account:
        return Answer("")
    work = works[name]
    answer = verdict(held, work.rights, ", ".join(work.tasks) or name, to_come)
    for before in _before(works, work):
        try:
            verdict(held, works[before].rights, "")
        except UserError:
            raise UserError(f"may all that it adds, but not {before}: see there") from None
    return answer


def _before(works: Mapping[str, Work], work: Work) -> Iterable[str]:
    while work.after:
        yield work.after
        work = works[work.after]


def _of_all(works: Mapping[str, Work]) -> Iterable[Right]:
    return (right for work in works.values() for right in work.rights)


def _always(work: Work) -> Iterable[Right]:
    return (right for right in work.rights if not right.without and not right.only_for)


def _named(missing: Sequence[str]) -> str:
    more = len(missing) - MOST_NAMED
    return ", ".join([*missing[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
