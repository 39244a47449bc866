"""Who calls a route, stated in its signature: `caller: Annotated[Principal, allow(policy.X)]`.

Each way to call knows how to be recognised and which transaction it may have; `shared/web/route.py` composes
it with a body and an answer. Beside the bearer tokens here: `sessions.py` for browsers, `hooks.py` for systems.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar, Protocol

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from shared.data.session import Identity
from shared.runtime.kernel import Kernel
from shared.web.authz import Action, Principal, require
from shared.web.idempotency import Claimant
from shared.web.problems import TokenMissing
from shared.web.requests import StrictRequest


class Caller(Protocol):
    """A way to know who calls."""

    async def recognise(self, kernel: Kernel, request: StrictRequest) -> None:
        """Refuse strangers before their body is read."""

    def confirm(self, request: StrictRequest) -> None:
        """Refuse what the received body, or its lack, gives away."""

    def enter(
        self, kernel: Kernel, request: StrictRequest
    ) -> AbstractAsyncContextManager[tuple[AsyncSession, Claimant]]:
        """The transaction the caller may have; its body has been received."""


class Bearer:
    """An OIDC access token in the Authorization header (RFC 6750); the transaction is in its owner's eyes."""

    async def recognise(self, kernel: Kernel, request: StrictRequest) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenMissing
        request.state.identity = await kernel.tokens.verify(token.strip())

    def confirm(self, request: StrictRequest) -> None: ...

    @asynccontextmanager
    async def enter(
        self, kernel: Kernel, request: StrictRequest
    ) -> AsyncIterator[tuple[AsyncSession, Claimant]]:
        identity: Identity = request.state.identity
        async with kernel.database.acting_as(identity) as (session, principal):
            request.state.session, request.state.principal = session, principal
            subject = f"{identity.issuer}|{identity.subject}"
            yield session, Claimant(principal.org_id, subject, request.headers.get("idempotency-key"))


class Allow:
    """The policy marker of a route: the caller must hold one of the action's roles."""

    caller: ClassVar[Caller] = Bearer()

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Principal:
        principal: Principal = request.state.principal
        require(principal, self.action, None)
        return principal


def allow(action: Action) -> object:
    """The holder of a token, who must have one of the action's roles."""
    return Depends(Allow(action))
