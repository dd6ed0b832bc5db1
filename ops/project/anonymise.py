"""Removes names from texts that strangers will read: each name becomes the same placeholder everywhere.

Names are known (from settings and this machine), or found by their form or by the words around them, as in
projects/NAME, gs://NAME or an e-mail address. A known name is replaced in any case, url-encoded, with other
punctuation (a label of flu/2026-w05 is flu-2026-w05), and as a part of longer names. Words of the product and
of Google, such as permissions, roles, machine types and regions, stay.
"""

import html
import ipaddress
import re
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote

from modeling.plain_text import one_line
from ops.people import GPU_WORK, WORK
from ops.settings import Settings

LEAST_INSIDE = 4  # letters and digits of a name that is replaced inside longer words, too, but for known ones
_ROUNDS = 4  # a text may be encoded more than once

_END = r"[^\s/'\"`\[\]<>(){},;?&#|*\\:=]"  # a character of a segment of a path
_SEGMENT = rf"({_END}+)"
_HEAD = r"(?<![\w-])"
_TOP = "com|org|net|edu|gov|mil|int|io|dev|app|ai|info|cloud|example|test|local|localdomain|lan|home|corp"
_COUNTRY = "uk|de|fr|ch|at|nl|be|it|es|pt|se|no|dk|fi|pl|ie|eu|us|ca|au|nz|jp|kr|br|mx|za"
_NO_ROUTE = r"(?!/|v\d|b/|apis/|scripts/|compute/|storage/|upload/)"  # as paths of an API begin
_COLLECTIONS = {  # of the names of Google's resources; what follows is a name
    "account": "serviceAccounts|accounts",
    "billing": "billingAccounts",
    "bucket": "buckets",
    "project": "projects",
    "organization": "folders|organizations",
    "secret": "secrets",
    "workflow": "workflows",
    "registry": "repositories",
    "network": "networks|subnetworks",
    "run": "jobs|executions|operations|builds|instances",
    "resource": "services|revisions|triggers|deployments|topics|subscriptions|dashboards|alertPolicies"
    "|notificationChannels|packages|dockerImages|keyRings|cryptoKeys",
}
# The forms by which names are found, in this order; the first group is the name.
_FORMS: list[tuple[str, str]] = [
    ("token", r"(-----BEGIN [\s\S]*?(?:-----END [\w ]*-----|$))"),
    ("token", rf"{_HEAD}((?:gh[a-z]_|glpat-|ya29\.|AIza|AKIA|xox[a-z]-|eyJ)[\w.~+=-]{{6,}})"),
    ("token", rf"{_HEAD}(github_pat_\w{{12,}})"),
    ("token", r"(?:Bearer|Basic|token)[\s:=]+([\w.~+/=-]{16,})"),
    ("token", r"://([^/\s@'\"]+)@"),
    (
        "token",
        r"(?:password|passwd|pwd|secret|api[_-]?key|(?:access|refresh)[_-]?token)['\"]?\s*[:=]\s*['\"]?([^\s'\",;&]+)",
    ),
    ("id", r"(?<![0-9a-f])([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?![0-9a-f])"),
    ("agent", r"([\w.+-]+@gcp-sa-[\w-]+\.iam\.gserviceaccount\.com)"),
    ("account", r"([\w.+-]+@[\w-]+(?:\.[\w-]+)+)"),
    ("account", r"([\w.+-]+@(?!sha\d)[a-z][\w-]*)(?!\.\w)"),
    ("billing", r"(?<![0-9A-F])([0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6})(?![0-9A-F])"),
    ("object", r"gs://[^\s/'\"]+/([^\s'\"<>|,;]*[^\s'\"<>|,;.:)\]])"),
    ("object", r"/o/([^\s'\"<>|,;?]*[^\s'\"<>|,;?.:)\]])"),
    ("bucket", r"gs://([\w.-]*\w)"),
    ("bucket", rf"/b/{_SEGMENT}"),
    ("bucket", r"https?://storage\.googleapis\.com/(?!storage/|upload/|download/|batch/)([\w.-]+)"),
    ("bucket", r"://([\w.-]+)\.storage\.googleapis\.com"),
    ("bucket", r"/storage/browser/(?:_details/)?([\w.-]+)"),
    ("project", r"docker\.pkg\.dev/([\w.-]+)"),
    ("project", r"\bgcr\.io/(?!cloud-builders|google)([\w.-]+)"),
    ("project", r"[?&]project=([\w.-]+)"),
    ("project", rf"{_HEAD}projects/[\w.-]+:([\w-]+)"),  # of a project in a domain
    ("registry", r"docker\.pkg\.dev/[\w.-]+/([\w.-]+)"),
    ("repository", r"github\.com[/:]([\w.-]+/[\w.-]*\w)"),
    ("repository", r"(?:git@|ssh://)[\w.-]+[/:]([\w.-]+(?:/[\w.-]+)*/[\w.-]*\w)"),
    ("repository", r"://[^\s/]+/([\w./-]+)\.git\b"),
    ("host", rf"[a-z+]{{3,}}://(?:[^/\s@'\"]*@)?({_END}+)"),
    ("host", r"host(?:name)?['\"]?\s*[=: ]\s*['\"]([\w.-]+)"),
    ("host", r"resolve (?:host|proxy)(?: name)?[\s:]+['\"]?([\w.-]*\w)"),
    ("host", r"connect(?:ion)? to (?:host )?['\"]?([\w.-]*\w)['\"]?,? port"),
    ("host", r"getaddrinfo[\w ]* ['\"]?([\w.-]*\w)['\"]?"),
    ("host", rf"{_HEAD}((?:[\w-]+\.)+(?:{_TOP}|{_COUNTRY}))(?![\w.-]*[\w-])"),
    *[(kind, rf"{_HEAD}(?:{words})(?:/|%2F){_SEGMENT}") for kind, words in _COLLECTIONS.items()],
    ("project", r"project(?:_?id)?[\s:=]+(?=[a-z]*[\d-])([a-z][a-z0-9-]{4,28}[a-z0-9])"),
    ("project", r"project(?:_?id)?[\s:=]*['\"\[]+([a-z][a-z0-9-]+)['\"\]]"),
    ("number", r"(?<!\d)(\d{9,})(?!\d)"),
    ("experiment", r"(?:--exp-id[ =]|exp_id['\"]?[ :=]+['\"]?|experiments/)([\w.-]+(?:/[\w.-]+)*)"),
    (
        "path",
        rf"(?<![\w/:.}})-])(~?/{_NO_ROUTE}[^\s'\"<>|,;:]*/[^\s'\"<>|,;:]+)",
    ),
    ("path", r"(?:file://|home |folder |directory )((?:/[\w.@+-]+)+)"),
    ("path", r"(?<![\w/])(~[\w.-]*/[^\s'\"<>|,;:]+)"),
    ("user", r"(?<![\w.])/(?:home|users)/([\w.@+-]+)"),
    ("user", r"(?<![\w/])~([a-z_][\w.-]*)/"),
    ("user", r"\b[ug]id=\d+\(([\w.-]+)\)"),
    ("user", r"\b(?:user|username|login)=['\"]?([\w.@-]*\w)"),
    ("host", r"\bhost(?:name)?=['\"]?([\w.-]*\w)"),
    ("name", r"\b(?:account|secret|bucket|repository|workflow|job|user)[\s:]*\[([\w.@-]*\w)\]"),
    ("token", r"(?<![\w])((?=(?:[A-Za-z_-]*\d){6})[\w-]{40,})"),
]
_ADDRESSES = re.compile(r"(?<![\w.:])[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]+(?![\w])")
# Names that everybody has, or that are Google's: they identify nobody.
_PUBLIC = re.compile(
    r"(?:[\w-]+\.)*(?:googleapis\.com|google\.com|pkg\.dev|gcr\.io|github\.com|githubusercontent\.com|python\.org"
    r"|hashicorp\.com|docker\.com|git-scm\.com|docker\.io)"
    r"|root|nobody|default|_default|global|regions?|group0|main|latest|production|locations?|-|_|iam|user|roles?"
    r"|list|describe|delete|the|that|this|does|with|number|exists?|not|and|has|have|was|your",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """Return a text in one line, without url-encoding, escapes of JSON and entities of HTML."""
    for _ in range(_ROUNDS):
        found = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda each: chr(int(each[1], 16)), text)
        found = re.sub(r"\\+[nrtbf]", " ", re.sub(r"\\+([/\"])", r"\1", found))
        found = html.unescape(unquote(found))
        if found == text:
            break
        text = found
    # beside a cut, part of a name may be left
    return one_line(re.sub(r"\S* \.\.\. \S*", " ... ", text))


class Anonymiser:
    """The names that are known so far, and their placeholders."""

    def __init__(self) -> None:
        self._placeholders: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._defaults = {_key(each) for each in _default_names()}
        self._pattern: re.Pattern | None = None

    def learn(self, kind: str, name: object) -> None:
        """Remember a name, which becomes KIND-1, KIND-2, ...; the first kind of a name counts."""
        text = plain(str(name)).strip(" ./")
        key = _key(text)
        if not key or key in self._defaults or _PUBLIC.fullmatch(text) or key in self._placeholders:
            return
        self._counts[kind] += 1
        self._placeholders[key] = f"{kind}-{self._counts[kind]}"
        self._pattern = None

    def learn_path(self, kind: str, name: str) -> None:
        """Remember a name like flu/2026-w05, and each of its parts."""
        for each in (name, *name.split("/")):
            self.learn(kind, each)

    def anonymous(self, node: Any, own: Collection[str] = ()) -> Any:
        """Return a value of JSON without names; all names in it are found first.

        A text that is one of `own` stays: the words of every report identify nobody.
        """
        for text in _texts(node):
            if text not in own:
                self._look(text)
        return self._replaced(node, own)

    def _look(self, text: str) -> None:
        """Learn the names in a text, by their forms."""
        text = plain(text)
        for kind, form in _COMPILED:
            for found in form.finditer(text):
                self.learn(kind, found[1])
        for found in _ADDRESSES.finditer(text):
            whole = found[0].rstrip(".:")
            for address in (whole, whole.rpartition(":")[0]):  # the second without its port
                if _is_address(address):
                    self.learn("ip", address)
                    break

    def _replaced(self, node: Any, own: Collection[str]) -> Any:
        if isinstance(node, dict):
            items = node.items()
            return {self._replaced(str(key), own): self._replaced(value, own) for key, value in items}
        if isinstance(node, list | tuple):
            return [self._replaced(each, own) for each in node]
        if isinstance(node, str):
            return node if node in own else self._text(node)
        if isinstance(node, bool) or node is None:
            return node
        return self._placeholders.get(_key(str(node)), node)  # a project's number may be a number

    def _text(self, text: str) -> str:
        if self._pattern is None:
            longest_first = sorted(self._placeholders, key=lambda key: (-len(key), key))
            self._pattern = re.compile("|".join(map(_form_of, longest_first)) or r"(?!)", re.IGNORECASE)
        return self._pattern.sub(self._placeholder, plain(text))

    def _placeholder(self, found: re.Match[str]) -> str:
        if _is_inside_a_known_word(found):
            return found[0]
        return self._placeholders.get(_key(found[0]), "name")


_COMPILED = [(kind, re.compile(form, re.IGNORECASE)) for kind, form in _FORMS]


def _key(name: str) -> str:
    """Return a name in lower case and with - as its only punctuation, to compare it."""
    return "-".join(re.findall(r"[^\W_]+", name)).lower()


def _form_of(key: str) -> str:
    """Return the regular expression of a name; a short one is only a whole word."""
    words = key.split("-")
    form = r"[\W_]{1,3}".join(map(re.escape, words))
    is_short = sum(map(len, words)) < LEAST_INSIDE
    return rf"(?<![^\W_]){form}(?![^\W_])" if is_short else form


def _is_inside_a_known_word(found: re.Match[str]) -> bool:
    """Return whether a name is a part of a word of the product or of Google.

    An owner called "flow" would turn "workflow" into "workowner-1", from which anyone can read the name.
    """
    begin, end = found.span()
    while begin and found.string[begin - 1].isalpha():
        begin -= 1
    while end < len(found.string) and found.string[end].isalpha():
        end += 1
    word = found.string[begin:end]
    return word != found[0] and any(
        each.lower() in _known_words() for each in (word, *_parts_with(word, found[0]))
    )


def _parts_with(word: str, name: str) -> list[str]:
    """Return the parts of a word in camel case that hold a name and more."""
    parts = re.findall(r"[A-Z]?[a-z]+", word)
    return [each for each in parts if name.lower() in each.lower() and name.lower() != each.lower()]


@cache
def _known_words() -> frozenset[str]:
    """Return the words of settings, of permissions and roles, and of the resources of Google."""
    rights = [right for work in (WORK | GPU_WORK).values() for right in work.rights]
    texts = [
        *Settings.model_fields,
        *_default_names(),
        *(right.role for right in rights),
        *(permission for right in rights for permission in right.permissions),
        *_COLLECTIONS.values(),
        "subnets networking",  # in commands of gcloud
    ]
    words = {word for text in texts for word in re.findall(r"[A-Za-z]+", text)}
    words |= {part for word in words for part in re.findall(r"[A-Z]?[a-z]+", word)}
    return frozenset(word.lower() for word in words)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from _texts(each)
    elif isinstance(node, str):
        yield node


def _default_names() -> Iterator[str]:
    """Yield the defaults of all settings, which are the product's words, not anybody's."""
    for field in Settings.model_fields.values():
        if isinstance(field.default, str) and field.default:
            yield field.default
            yield from re.split(r"[/:]", field.default)
