"""Whether a charter's text can be executed: every rule, every finding, in one pass."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from services.charter.charters.domain.bodies import body_findings, seat_findings
from services.charter.charters.domain.clocks import clock_findings
from services.charter.charters.domain.keys import repeated
from services.charter.charters.domain.ladder import calendar_findings, ladder_findings
from services.charter.charters.domain.rights import right_findings
from services.charter.charters.domain.text import comparable
from shared.contracts.governance import ExecutableCharter, Party
from shared.pure.refusal import Finding, pointer
from shared.pure.texts import is_readable
from shared.reviews.domain import REVIEW_INTERVAL

Rule = Callable[[ExecutableCharter], Iterator[Finding]]


def validate(content: ExecutableCharter, members: Mapping[str, Party] | None = None) -> list[Finding]:
    """All findings, in a stable order; an empty list means the text may be frozen.

    `members` maps the ids of both parties' people to their party; without it the people named in
    seats are checked only against each other.
    """
    findings = [finding for rule in _RULES for finding in rule(content)]
    return findings + list(seat_findings(content, members))


def _texts(content: ExecutableCharter) -> Iterator[Finding]:
    for field, code, message in _REQUIRED_TEXTS:
        if not is_readable(getattr(content, field)):
            yield Finding(code, message, pointer(field))


def _lists(content: ExecutableCharter) -> Iterator[Finding]:
    for field, code, message in _REQUIRED_LISTS:
        texts: tuple[str, ...] = getattr(content, field)
        blank = [index for index, text in enumerate(texts) if not is_readable(text)]
        if len(blank) == len(texts):
            yield Finding(code, message, pointer(field))
        else:
            blanks = (pointer(field, index) for index in blank)
            yield from (Finding("blank_text", "Write something, or leave it out.", at) for at in blanks)
    for index, service in repeated(map(comparable, content.services_in_scope)):
        message = f"{service!r} is named twice."
        yield Finding("duplicate_service", message, pointer("services_in_scope", index))


def _dates(content: ExecutableCharter) -> Iterator[Finding]:
    due, effective = content.next_review_due, content.effective_date
    # A difference of dates cannot overflow where a sum at the end of the calendar would.
    if due - effective > REVIEW_INTERVAL:
        message = f"Set the next review at most {REVIEW_INTERVAL.days} days after {effective}."
        yield Finding("review_too_late", message, "/next_review_due")
    if due - effective <= timedelta():
        message = f"Set the next review after the effective date {effective}."
        yield Finding("review_not_after_effective", message, "/next_review_due")


def _reporting(content: ExecutableCharter) -> Iterator[Finding]:
    if all(duty.producer is not Party.provider for duty in content.reporting):
        message = "Add at least one report that the provider owes."
        yield Finding("missing_provider_report", message, "/reporting")
    for index, duty in enumerate(content.reporting):
        for field in ("due_business_day", "acknowledge_within_business_days"):
            if getattr(duty, field) < 1:
                yield Finding(
                    "days_out_of_range", "Give at least 1 business day.", pointer("reporting", index, field)
                )


def _periods(content: ExecutableCharter) -> Iterator[Finding]:
    if content.emergency_review_business_days < 1:
        message = "Give the deadline for reviewing an emergency change, at least 1 business day."
        yield Finding("days_out_of_range", message, "/emergency_review_business_days")
    if content.termination_notice_days < 0:
        message = "Notice days cannot be negative."
        yield Finding("days_out_of_range", message, "/termination_notice_days")
    for index, pause in enumerate(content.pauses):
        if pause.max_business_days < 1:
            message = "A pause lasts at least 1 business day."
            yield Finding("days_out_of_range", message, pointer("pauses", index, "max_business_days"))


def _keys(content: ExecutableCharter) -> Iterator[Finding]:
    for field, name in _UNIQUE:
        for index, key in repeated(getattr(row, name) for row in getattr(content, field)):
            message = f"{key!r} is used twice; give each row its own {name}."
            yield Finding("duplicate_key", message, pointer(field, index, name))


_REQUIRED_TEXTS = (
    ("title", "missing_title", "Give the charter a title."),
    ("authority", "missing_authority", "Name the instrument that grants the authority."),
    (
        "remediation_policy",
        "missing_remediation_policy",
        "Say what follows when a target is missed.",
    ),
)
_REQUIRED_LISTS = (
    ("services_in_scope", "missing_service", "Name at least one service in scope."),
    ("outcomes", "missing_outcome", "Name at least one outcome and how it is measured."),
)
_UNIQUE = (
    ("bodies", "key"),
    ("decision_rights", "id"),
    ("calendars", "key"),
    ("pauses", "reason"),
    ("reporting", "key"),
)
_RULES: tuple[Rule, ...] = (
    _texts,
    _lists,
    _dates,
    _reporting,
    _periods,
    _keys,
    body_findings,
    right_findings,
    ladder_findings,
    calendar_findings,
    clock_findings,
)
