"""Signed-in browsers: a sealed cookie that holds the user's access token, and a proof on every form.

The cookie is encrypted, so that neither page scripts nor the browser's owner read the token. It is sent to
this host only (`__Host-`), over TLS, never by other sites' forms (`SameSite`), and ends with its token or
after twelve hours.
"""

import contextlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final, Self

import orjson
from cryptography.fernet import Fernet, InvalidToken
from fastapi import Depends, Response
from pydantic import SecretStr

from shared.pure.refusal import Forbidden, Invalid
from shared.runtime.kernel import Kernel
from shared.runtime.settings import KernelSettings
from shared.web.auth import Allow, Bearer, Caller
from shared.web.authz import Action
from shared.web.problems import Unauthorized
from shared.web.requests import StrictRequest

COOKIE: Final = "__Host-concordat"
CSRF_HEADER: Final = "x-csrf-token"
CSRF_FIELD: Final = "csrf_token"
LIFETIME: Final = timedelta(hours=12)
LONGEST_COOKIE: Final = 4000  # browsers drop cookies of more than 4096 bytes, name and attributes included
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class BrowserSession:
    """What the cookie holds. `csrf` goes into every form of the pages it is used on."""

    token: str
    csrf: str


class SessionCookies:
    """Seals and opens session cookies. The first key seals; older ones still open, so that keys can change."""

    def __init__(self, keys: tuple[SecretStr, ...]) -> None:
        if not keys:
            raise ValueError("set CONCORDAT_SESSION_KEYS: 32 random bytes in base64 per key, newest first")
        self._seals = tuple(Fernet(key.get_secret_value()) for key in keys)

    @classmethod
    def of(cls, settings: KernelSettings) -> Self:
        return cls(settings.session_keys)

    def start(self, response: Response, token: str, now: datetime) -> BrowserSession:
        """Put a new session into the answer. `Invalid` when the token is too long for a cookie."""
        session = BrowserSession(token, secrets.token_urlsafe(24))
        sealed = (
            self._seals[0]
            .encrypt_at_time(orjson.dumps([session.token, session.csrf]), int(now.timestamp()))
            .decode()
        )
        if len(sealed) > LONGEST_COOKIE:
            raise Invalid("token_too_long", "The identity provider's token is too long to keep in a cookie.")
        response.set_cookie(
            COOKIE,
            sealed,
            max_age=int(LIFETIME.total_seconds()),
            path="/",
            secure=True,
            httponly=True,
            samesite="lax",
        )
        return session

    def end(self, response: Response) -> None:
        """Forget the session in this browser."""
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")

    def read(self, request: StrictRequest, now: datetime) -> BrowserSession:
        """The session of a request; `Unauthorized` when there is none, or it has ended, or is no work of ours."""
        sealed = request.cookies.get(COOKIE, "").encode()
        for seal in self._seals:
            with contextlib.suppress(InvalidToken):
                kept = seal.decrypt_at_time(sealed, int(LIFETIME.total_seconds()), int(now.timestamp()))
                return BrowserSession(*orjson.loads(kept))
        raise Unauthorized("not_signed_in", "Sign in first.", "Cookie")


class SignedIn(Bearer):
    """A browser with a session; what changes something proves that it comes from a page of ours."""

    async def recognise(self, kernel: Kernel, request: StrictRequest) -> None:
        session = request.state.browser_session = SessionCookies.of(kernel.settings).read(
            request, kernel.clock()
        )
        request.state.identity = await kernel.tokens.verify(session.token)

    def confirm(self, request: StrictRequest) -> None:
        """Refuse what another site made the browser send: the proof is in the page's form or its scripts' header."""
        if request.method not in _SAFE and not _is_from_own_page(request):
            raise Forbidden(
                "foreign_form", "This form is not from your session. Reload the page and send it again."
            )


def _is_from_own_page(request: StrictRequest) -> bool:
    session: BrowserSession = request.state.browser_session
    given = request.headers.get(CSRF_HEADER) or request.take_field(CSRF_FIELD) or ""
    is_foreign = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
    return not is_foreign and hmac.compare_digest(given.encode(), session.csrf.encode())


class AllowSignedIn(Allow):
    """Like `Allow`, for routes that browsers call with their session."""

    caller: ClassVar[Caller] = SignedIn()


def signed_in(action: Action) -> object:
    """The owner of a session, who must have one of the action's roles: `caller: Annotated[Principal, signed_in(X)]`."""
    return Depends(AllowSignedIn(action))
