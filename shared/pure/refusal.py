"""How a rule or a use case says no, in words that know neither HTTP nor messages.

Each edge maps the kinds once: `shared/web/problems.py` to statuses, `shared/messaging/failures.py` to retries.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing wrong with the input; `pointer` is an RFC 6901 JSON pointer into it."""

    code: str
    message: str
    pointer: str = ""


class Refusal(Exception):
    """What every refusal has: a stable snake_case `code`, and a sentence that says what to do next.

    `pointer` is the place of the offending input, where there is one; `findings` name every fault at once.
    """

    def __init__(
        self, code: str, message: str, pointer: str | None = None, findings: Sequence[Finding] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.pointer = pointer
        own = (Finding(code, message, pointer),) if pointer is not None else ()
        self.findings = (*own, *findings)


class Refused(Refusal):
    """A rule says no in the state things are in."""


class Invalid(Refusal):
    """The input is well-formed but wrong, whatever the state."""


class Forbidden(Refusal):
    """It may be seen, but this caller may not do it."""


class Missing(Refusal):
    """There is none, or the caller may not see it: both read the same."""

    def __init__(self, what: str) -> None:
        super().__init__("not_found", f"There is no such {what}, or you may not see it.")


class Stale(Refusal):
    """It changed since the caller read it."""

    def __init__(self) -> None:
        super().__init__(
            "version_changed", "It changed since you read it. Read it again and repeat with the new ETag."
        )


class NotYet(Refusal):
    """What it needs is not here yet; the same request may work in a moment."""


@contextmanager
def checking_input() -> Iterator[None]:
    """Turn a rule's refusal inside the block into `Invalid`: what it judges is the input itself."""
    try:
        yield
    except Refusal as refusal:
        if isinstance(refusal, Invalid | Forbidden | Missing | Stale | NotYet):
            raise
        raise Invalid(refusal.code, refusal.message, refusal.pointer or "") from None


def pointer(*places: str | int) -> str:
    """The JSON pointer (RFC 6901) of a place, from the outermost part to the innermost."""
    return "".join("/" + str(place).replace("~", "~0").replace("/", "~1") for place in places)
