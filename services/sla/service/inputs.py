"""Rules about the input itself answer 422; a `Refusal` elsewhere is about state and answers 409."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.pure.refusal import Refusal
from shared.web.problems import Invalid


@contextmanager
def checking_input() -> Iterator[None]:
    """Turn a refusal inside the block into `Invalid`, at the refusal's pointer."""
    try:
        yield
    except Refusal as refusal:
        raise Invalid(refusal.code, refusal.message, refusal.pointer or "") from None
