"""Who makes the request that this thread answers, and what a handler asks for them.

The permission of a method is asked before its handler runs (enforcement.py). What depends on the body or on
what is there already, such as acting as an account or replacing an object, the handler asks with need().
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from localcloud.rights.resources import account_name

ACT_AS = "iam.serviceAccounts.actAs"
Ask = Callable[[str, str, str], None]  # a member for a permission on a resource; raises ApiError
May = Callable[[str, str, str], bool]


@dataclass
class Caller:
    """The member that makes a request, and how often a permission was asked for it."""

    member: str
    ask: Ask
    may: May
    asked: int = field(default=0)


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def need(permission: str, resource: str) -> None:
    """Refuse the request that this thread answers unless its caller has a permission on a resource.

    Outside of a request, and in a cloud that enforces nothing, everything is allowed.

    Raises
    ------
    ApiError
        403
    """
    if caller := _current.get():
        caller.asked += 1
        caller.ask(caller.member, permission, resource)


def need_to_act_as(account: str, project: str) -> None:
    """Refuse the request that this thread answers unless its caller may act as an account of a project.

    `account` is an e-mail or a name.

    Raises
    ------
    ApiError
        403

    https://cloud.google.com/iam/docs/attach-service-accounts
    """
    need(ACT_AS, account_name(account, project))


def may(permission: str, resource: str) -> bool:
    """Return whether the caller has a permission, where that changes an answer and refuses nothing."""
    caller = _current.get()
    return caller is None or caller.may(caller.member, permission, resource)


def need_nothing() -> None:
    """Say that this request needs no permission, where others of its method do."""
    if caller := _current.get():
        caller.asked += 1


def member() -> str:
    """Return who asks; "" outside of a request, and in a cloud that enforces nothing."""
    caller = _current.get()
    return caller.member if caller else ""


@contextmanager
def acting_as(member: str) -> Iterator[None]:
    """Ask for another member than the caller, for a block; "" is the caller."""
    caller = _current.get()
    if caller is None or not member:
        yield
        return
    before, caller.member = caller.member, member
    try:
        yield
    finally:
        caller.member = before


def is_enforced() -> bool:
    """Return whether this thread answers a request in a cloud that enforces rights."""
    return _current.get() is not None


@contextmanager
def calling(caller: Caller) -> Iterator[Caller]:
    """Make a caller the one whose request this thread answers, for a block."""
    token = _current.set(caller)
    try:
        yield caller
    finally:
        _current.reset(token)
