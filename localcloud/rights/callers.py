"""Who makes the request that this thread answers, and what a handler asks for them.

The permission of a method is asked before its handler runs (enforcement.py). The handler calls need() for
what depends on the body or on existing resources, such as acting as an account or replacing an object. It
asks only for what the table of its method names (needs.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from localcloud.rights.needs import UnknownNeed
from localcloud.rights.resources import account_name

ACT_AS = "iam.serviceAccounts.actAs"
Ask = Callable[[str, str, str], None]  # a member for a permission on a resource; raises ApiError
May = Callable[[str, str, str], bool]


@dataclass
class Caller:
    """The member that makes a request, what its handler may ask, and what was asked for it."""

    member: str
    ask: Ask
    may: May
    method: str
    of_handler: frozenset[str]  # permissions
    asked: set[tuple[str, str, str]] = field(default_factory=set)  # member, permission, resource
    needs_nothing: bool = False

    def need(self, permission: str, resource: str) -> None:
        """Ask for a permission that the method always needs, or that its handler has checked."""
        self.asked.add((self.member, permission, resource))
        self.ask(self.member, permission, resource)

    def check(self, permission: str, resource: str) -> None:
        """Refuse a question of the handler that the table of its method does not have.

        What was asked before, such as the right to create an object, may be asked again.
        """
        if (self.member, permission, resource) not in self.asked and permission not in self.of_handler:
            raise UnknownNeed(f"{self.method} asks for {permission}: add it to rights/methods/")


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def need(permission: str, resource: str) -> None:
    """Refuse the request that this thread answers unless its caller has a permission on a resource.

    Outside of a request, and in a cloud that enforces nothing, everything is allowed.

    Raises
    ------
    ApiError
        403
    UnknownNeed
        The table of the method does not have the permission as one that its handler asks.
    """
    if caller := _current.get():
        caller.check(permission, resource)
        caller.need(permission, resource)


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
    """Return whether the caller has a permission, where that changes an answer and refuses nothing.

    Raises
    ------
    UnknownNeed
        As need().
    """
    if caller := _current.get():
        caller.check(permission, resource)
    return has(permission, resource)


def has(permission: str, resource: str) -> bool:
    """Return whether the caller has a permission, which need not be in the table of the method."""
    caller = _current.get()
    return caller is None or caller.may(caller.member, permission, resource)


def need_nothing() -> None:
    """Say that this request needs no permission, where others of its method do."""
    if caller := _current.get():
        caller.needs_nothing = True


def current_member() -> str:
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
