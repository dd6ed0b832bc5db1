r"""Types of settings: the pattern a text must match, the bounds of a number, and the text of an error.

terraform/settings.tf is generated from the same patterns and bounds, so patterns use only what Python's re
and Terraform's RE2 share, and \s in brackets, which is translated. Other spellings, such as
gs://BUCKET, are normalized before they are checked.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from string import Template
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.fields import FieldInfo

from modeling.plain_text import is_unicode
from ops.names import MOST, MOST_PARALLEL, MOST_SECONDS

_REGION = "[a-z]+-[a-z]+[0-9]{1,2}"
_DOTS = r"(^|/)\.{1,2}/"  # part of a path: . or ..
_TOKEN = "gh[a-z]_|github_pat_"


@dataclass(frozen=True)
class Form:
    """Accepts a text that matches all of `pattern` and contains nothing that matches `never`."""

    pattern: str
    wanted: str  # in an error: what to write instead
    never: str = ""

    def __call__(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text) or (self.never and re.search(self.never, text)):
            raise ValueError(self.wanted)
        return text


def _text(pattern: str, wanted: str, never: str = "", normalize: Callable[[str], str] | None = None) -> Any:
    """Return the type of a setting that is a text; `normalize` is applied before the pattern."""
    before = [AfterValidator(normalize)] if normalize else []
    return Annotated[str, *before, AfterValidator(Form(pattern, wanted, never))]


def _without_scheme(text: str) -> str:
    """Return a bucket's name without the gs:// that the console shows."""
    return text.removeprefix("gs://").rstrip("/")


def _without_end_slash(text: str) -> str:
    return text.rstrip("/")


def _without_unit(text: str) -> str:
    """Return seconds without the s that Batch writes after them."""
    return text.removesuffix("s") if isinstance(text, str) else text


def _without_host(text: str) -> str:
    """Return owner/name of a repository given by its address in a browser."""
    return text.removeprefix("https://github.com/").rstrip("/").removesuffix(".git")


def folder_prefix(text: str) -> str:
    """Return a path inside the bucket with a / at its end; an empty one stays empty.

    Raises
    ------
    ValueError
        A part of it is empty, . or ..
    """
    if not text:
        return ""
    parts = text.rstrip("/").split("/")
    if {"", ".", ".."} & set(parts) or "\\" in text:
        raise ValueError("a path inside the bucket, such as flu/2026/, without . or .. or an empty part")
    return "/".join(parts) + "/"


Account = _text(
    r"[a-z][a-z0-9-]{4,28}[a-z0-9]|[a-z0-9-]+@[a-z0-9.-]+",
    "a service account of the project (6 to 30 lower-case letters, digits and -), or a whole e-mail address",
)
BillingAccount = _text(
    r"([0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6})?", "a billing account such as 012345-6789AB-CDEF01"
)
BucketName = _text(
    r"([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])?",
    "the name of a bucket, without gs:// and without a path; the path before the runs is DIR_PREFIX",
    normalize=_without_scheme,
)
BuildRegion = _text(f"global|{_REGION}", "global, or a region such as us-central1")
CloudName = _text(  # of a repository in Artifact Registry, an image, or a tag
    r"[a-z0-9][A-Za-z0-9._-]{0,62}",
    "a lower-case letter or a digit, then letters, digits, . _ and -, at most 63 characters",
)
DataSource = _text(
    r"https://[^\s@?#,/]+(/[^\s@?#,]*)?|http://(127\.0\.0\.1|localhost)(:[0-9]+)?(/[^\s@?#,]*)?|/.*",
    "an https address without a user name, ? or #, or a folder or file of this machine",
    normalize=_without_end_slash,
)
Email = _text(r'([^\s@",\\]+@[^\s@",\\]+\.[^\s@",\\]+)?', "an e-mail address such as forecasts@example.org")
FolderPrefix = _text(
    r"([^/\\]+/)*",
    "a path inside the bucket without . and .., which ends with /, such as flu/2026/",
    never=_DOTS,
    normalize=folder_prefix,
)
GitRef = _text(
    r"[A-Za-z0-9_][A-Za-z0-9._/+#@-]*",
    "a branch, a tag or a whole commit; never a token",
    never=rf"(?i)^({_TOKEN})|\.\.",
)
Image = _text(
    r"([A-Za-z0-9][A-Za-z0-9._/:-]*(@sha256:[0-9a-f]{64})?)?",
    "an image such as python:3.11-slim, or a host such as europe-docker.pkg.dev",
)
LabelValue = _text(r"[a-z0-9_-]{1,63}", "lower-case letters, digits, _ and -, at most 63 characters")
MachineType = _text(r"([a-z][a-z0-9]*(-[a-z0-9]+)+)?", "a machine type such as c4d-standard-4")
NetworkName = _text(
    r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
    "a lower-case letter, then lower-case letters, digits and -, at most 63 characters",
)
GiB = _text(r"[1-9][0-9]{0,2}Gi", "whole GiB, such as 16Gi")
ModelList = _text(
    r"([A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*(,[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*)*)?",
    "module:class of each model, by commas, such as services.models.sentiment:Sentiment",
)
OptionalName = _text(
    r"([a-z]([a-z0-9-]{0,61}[a-z0-9])?)?",
    "a lower-case letter, then lower-case letters, digits and -, at most 63 characters; or nothing",
)
ProjectId = _text(
    r"([a-z][a-z0-9-]{4,28}[a-z0-9])?", "a project's id, such as my-lab-forecasts; not its name or number"
)
Region = _text(_REGION, "a region such as us-central1, not a zone")
RepositoryName = _text(
    r"([A-Za-z0-9-]+/[A-Za-z0-9._-]+)?",
    "owner/name of a repository, such as my-lab/flu-forecasts",
    never=r"\.\.",
    normalize=_without_host,
)
SecretName = _text(
    r"[A-Za-z0-9_-]{0,255}",
    "the name of a secret in Secret Manager, such as github-pat; never the token itself",
    never=rf"(?i)({_TOKEN})\w|\b[0-9a-f]{{40}}\b",
)
ServicePrefix = _text(
    r"[a-z][a-z0-9-]{1,16}[a-z0-9]",
    "3 to 18 characters: a lower-case letter, then lower-case letters, digits and -, not ending with -, "
    "not beginning with goog, and without google in it",
    never="^goog|google",  # which Cloud Storage refuses in a bucket's name
)
StatePrefix = _text(  # never empty: the state is kept apart from the runs
    r"([^/\\]+/)+",
    "a path inside the bucket without . and .., which ends with /, such as terraform/flu/",
    never=_DOTS,
    normalize=folder_prefix,
)
WebAddress = _text(
    r"(https://|http://(127\.0\.0\.1|localhost)\b)[^\s@?#,]+",
    "an address such as https://github.com, without a user name or token",
    normalize=_without_end_slash,
)
Zone = _text(rf"({_REGION}-[a-z])?", "a zone such as us-central1-a, or nothing")
WorkflowName = _text(
    r"[a-z]([a-z0-9_-]{0,61}[a-z0-9])?",
    "a lower-case letter, then lower-case letters, digits, _ and -, at most 63 characters",
)

Count = Annotated[int, Field(ge=1, le=MOST)]
CpuMilli = Annotated[int, Field(ge=250, le=MOST)]
MemoryMib = Annotated[int, Field(ge=512, le=MOST)]
Parallel = Annotated[int, Field(ge=1, le=MOST_PARALLEL)]
Days = Annotated[int, Field(ge=0, le=3650)]
Seconds = Annotated[int, BeforeValidator(_without_unit), Field(ge=60, le=MOST_SECONDS)]


def setting(
    default: Any,
    meaning: str,
    above: str | None = None,
    terraform: str | bool = False,
    gpu: str | bool = False,
    required: bool = False,
    **limits: Any,
) -> Any:
    """Describe one setting.

    Parameters
    ----------
    meaning : str
        A phrase, for `invoke config-show`, docs/settings.md and Terraform.
    above : str
        Comment above it in .env.example, which begins a paragraph; "" repeats the meaning. Without one the
        setting continues the paragraph of the setting before it.
    terraform : str or bool
        True for a variable of the same name in terraform/settings.tf, or its other name there.
    gpu : str or bool
        The same for terraform/gpu/settings.tf.
    required : bool
        The cloud cannot be set up without it, so Terraform has no default.
    limits
        Bounds of a number, as pydantic takes them.
    """
    extra = {"above": above, "terraform": terraform, "gpu": gpu, "required": required}
    return Field(default, description=meaning, json_schema_extra=extra, **limits)


def deployed(default: Any, meaning: str, above: str | None = None, **others: Any) -> Any:
    """Describe a setting that is also a variable of the same name in terraform/settings.tf."""
    return setting(default, meaning, above, terraform=True, **others)


def shared(default: Any, meaning: str, above: str | None = None, **others: Any) -> Any:
    """Describe a setting that is also a variable in terraform/settings.tf and terraform/gpu/settings.tf."""
    return setting(default, meaning, above, terraform=True, gpu=True, **others)


def of_lane(default: Any, meaning: str, above: str | None = None, **others: Any) -> Any:
    """Describe a setting that is also a variable of the same name in terraform/gpu/settings.tf."""
    return setting(default, meaning, above, **{"gpu": True, **others})


def form(setting: FieldInfo) -> Form | None:
    """Return the form of a setting that is a text with a pattern."""
    checks = (getattr(check, "func", None) for check in setting.metadata)
    return next((check for check in checks if isinstance(check, Form)), None)


def bounds(setting: FieldInfo) -> tuple[int | None, int | None]:
    """Return the least and the greatest value of a setting that is a number."""
    limits = {type(limit).__name__: limit for limit in setting.metadata}
    return getattr(limits.get("Ge"), "ge", None), getattr(limits.get("Le"), "le", None)


def allowed(setting: FieldInfo) -> str:
    """Return what a setting accepts, for the end of an error message."""
    if get_origin(setting.annotation) is Literal:
        *others, last = get_args(setting.annotation)
        return f"use {', '.join(others)} or {last}"
    if setting.annotation is bool:
        return "use true or false"
    if shape := form(setting):
        return shape.wanted
    least, most = bounds(setting)
    if least is None:
        return "a text"
    return f"a whole number from {least}" + ("" if most is None else f" to {most}")


def expanded(text: str) -> str:
    """Return a path with ~ and $VARIABLES replaced; a shell does not do so in quotes or in .env."""
    try:
        path = os.path.expanduser(Template(text).substitute(os.environ))
    except KeyError as error:
        raise ValueError(f"${error.args[0]} is not set in the environment") from None
    except ValueError:
        raise ValueError("$ must be followed by the name of a variable; write $$ for $ itself") from None
    if not is_unicode(path):
        raise ValueError("a variable in it is not text in UTF-8")
    return path
