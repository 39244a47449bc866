"""Messages that other systems sign: Standard Webhooks, checked over the exact body before anything is done.

A message is done once: its id is its idempotency key, and a sender that repeats it gets the first answer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from shared.pure.signing import LONGEST_TIMESTAMP, is_signed
from shared.runtime.kernel import Kernel
from shared.web.authz import NOBODY
from shared.web.idempotency import Claimant
from shared.web.problems import Unauthorized
from shared.web.requests import StrictRequest

TOLERANCE: Final = timedelta(minutes=5)
LONGEST_ID: Final = 200


@dataclass(frozen=True)
class Sender:
    """Who signed: `hook` is what the address names it, `message_id` the sender's own name of the message."""

    hook: str
    message_id: str
    sent_at: datetime


Secrets = Callable[[AsyncSession, Mapping[str, str]], Awaitable[Sequence[str]]]
"""Finds the secrets a message may be signed with, by the parameters of the path; none for an unknown hook."""


class SignedBy:
    """The caller marker of a route for signed messages: `sender: Annotated[Sender, signed_by(secrets)]`.

    The transaction is the service's own: a hook belongs to an organization, but no member is behind it.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    @property
    def caller(self) -> "SignedBy":
        return self

    async def recognise(self, kernel: Kernel, request: StrictRequest) -> None:
        message_id = request.headers.get("webhook-id", "")
        if not 1 <= len(message_id) <= LONGEST_ID or "." in message_id:
            raise _unsigned()
        sent_at = _instant(request.headers.get("webhook-timestamp", ""))
        if sent_at is None or abs(kernel.clock() - sent_at) > TOLERANCE:
            raise _unsigned()
        hook = "/".join(request.path_params.values())
        request.state.sender = Sender(hook, message_id, sent_at)

    def confirm(self, request: StrictRequest) -> None:
        """Nothing yet: the signature is compared where the secrets are."""

    @asynccontextmanager
    async def enter(
        self, kernel: Kernel, request: StrictRequest
    ) -> AsyncIterator[tuple[AsyncSession, Claimant]]:
        sender: Sender = request.state.sender
        async with kernel.database.system() as session:
            secrets = await self._secrets(session, request.path_params)
            timestamp, signatures = (
                request.headers.get(f"webhook-{n}", "") for n in ("timestamp", "signature")
            )
            if not is_signed(secrets, sender.message_id, timestamp, signatures, await request.body()):
                raise _unsigned()
            request.state.session = session
            yield session, Claimant(NOBODY, f"hook|{sender.hook}", sender.message_id)

    async def __call__(self, request: Request) -> Sender:
        sender: Sender = request.state.sender
        return sender


def signed_by(secrets: Secrets) -> object:
    """Whoever knows one of the secrets of the hook that the address names."""
    return Depends(SignedBy(secrets))


def _unsigned() -> Unauthorized:
    """One answer for an unknown hook, a wrong signature and an old message: strangers learn nothing."""
    return Unauthorized(
        "not_signed", "Sign the exact body with the hook's secret (Standard Webhooks), now.", "Signature"
    )


def _instant(seconds: str) -> datetime | None:
    if not seconds.isascii() or not seconds.isdigit() or len(seconds) > LONGEST_TIMESTAMP:
        return None
    return datetime.fromtimestamp(int(seconds), UTC)
