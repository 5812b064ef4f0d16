"""Turn what a form or JSON says into a submission's fields, and say which of them cannot be."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.db.seasons import Season
from harness.errors import BadSubmission, Finding
from harness.repository import is_model_id, is_revision
from harness.suite import suite_names

DTYPES = ("auto", "bfloat16", "float16", "float32")
STYLES = ("direct", "cot", "choice")
LONGEST_NOTE, LONGEST_CONTACT, _LONGEST = 1000, 200, 200


class SubmissionIn(BaseModel):
    """A model to be run by our workers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = Field(description="Id on the hub, as org/name.")
    revision: str = Field(default="main", description="Branch, tag or commit; the commit of now is what is run.")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(default="auto", description="Precision.")
    style: Literal["", "direct", "cot", "choice"] = Field(default="", description="One style alone; empty: all.")
    chat_template: bool = Field(default=False, description="Ask through the model's chat template.")
    suite: str = Field(default="quick", description="What is asked; a season brings its own.")
    season: str = Field(default="", description="Name of a season that is open; empty: practice.")
    note: str = Field(default="", description=f"Shown with the submission; {LONGEST_NOTE} characters at most.")
    contact: str = Field(default="", description="Shown to you and to admins only.")


@dataclass(frozen=True, slots=True)
class SubmissionForm:
    """What somebody wrote into the form, right or wrong."""

    model: str = ""
    revision: str = "main"
    dtype: str = "auto"
    style: str = ""
    chat_template: bool = False
    suite: str = "quick"
    season: str = ""
    note: str = ""
    contact: str = ""

    def in_season(self, seasons: Collection[Season]) -> "SubmissionForm":
        """Return the same with the suite that its season brings."""
        suite = next((season.suite for season in seasons if season.id == self.season), self.suite)
        return replace(self, suite=suite)


def read_fields(sent: Mapping[str, str]) -> SubmissionForm:
    """Read the fields of a browser's form; blanks around them do not count."""
    texts = {one.name: sent[one.name].strip() for one in fields(SubmissionForm) if one.name in sent}
    is_templated = texts.pop("chat_template", "") not in ("", "false", "0")
    return SubmissionForm(**{"revision": "main", **texts, "chat_template": is_templated})  # type: ignore[arg-type]  # texts but one


def read_json(body: bytes) -> SubmissionForm:
    """Read a body of the API.

    Raises:
        BadSubmission: it is not what `SubmissionIn` says, with a finding for each field.
    """
    try:
        return SubmissionForm(**SubmissionIn.model_validate_json(body).model_dump())
    except ValidationError as error:
        raise BadSubmission([_finding(one) for one in error.errors(include_url=False)]) from error


def _finding(error: Mapping[str, Any]) -> Finding:  # pydantic's own shape
    field = str(error["loc"][0])[:60] if error["loc"] else "body"
    return Finding(field, f"{error['msg'][:200]}.", "See /api for what may be sent.", "bad_field")


def check(form: SubmissionForm, seasons: Collection[Season]) -> list[Finding]:
    """Return what is wrong with the fields themselves; `seasons` are those that are open."""
    found = []

    def say(field: str, problem: str, fix: str) -> None:
        found.append(Finding(field, problem, fix, f"bad_{field}"))

    if not is_model_id(form.model):
        say("model", "This is no model's id.", "Write it as on the hub: organisation, slash, name.")
    if not is_revision(form.revision):
        say("revision", "This cannot be a revision.", "Give a branch, a tag or a commit; main is the usual one.")
    for field, value, known in (
        ("dtype", form.dtype, DTYPES), ("style", form.style, ("", *STYLES)), ("suite", form.suite, suite_names()),
    ):  # fmt: skip
        if value not in known:
            say(field, "There is no such choice.", f"Choose one of: {', '.join(one or 'all' for one in known)}.")
    if form.season and form.season not in {season.id for season in seasons}:
        say("season", "No season of that name is open.", "Choose one that is, or practice.")
    for field, text, longest in (("note", form.note, LONGEST_NOTE), ("contact", form.contact, LONGEST_CONTACT)):
        if len(text) > longest:
            say(field, f"This has {len(text):,} characters.", f"Shorten it to {longest:,}.")
    return found


def shown(form: SubmissionForm) -> dict[str, Any]:
    """Return the fields to be written into the form again, none longer than a form sends, nothing hidden in them."""
    fields_now = asdict(form)
    for name, value in fields_now.items():
        if isinstance(value, str):
            plain = "".join(char for char in value if char.isprintable() or char in "\n\t")
            fields_now[name] = plain[: LONGEST_NOTE if name == "note" else _LONGEST]
    return fields_now
