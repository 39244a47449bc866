"""A route is composed of who calls, what body comes, and what is answered. Its signature names all three.

caller: `allow(policy)` a bearer token, `signed_in(policy)` a browser's session, `signed_by(secrets)` a system.
body:   `form: SomeIn` JSON, `Annotated[SomeIn, Form()]` a page's form, `UploadFile` a file, `accepts(...)` bytes.
answer: a response model is JSON; `HtmlPage`, `FileAnswer` and `CsvStream` are what they say.

The order is the same for all: recognise the caller, check the query, receive the body, then one transaction
with the idempotency claim in it, committed before the answer is sent.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from shared.data.claims import Claim
from shared.data.direct import Direct, direct
from shared.data.session import Identity
from shared.pure.refusal import NotYet, Refusal
from shared.runtime import failpoints
from shared.runtime.kernel import Kernel
from shared.web import idempotency, problems
from shared.web.answers import finished
from shared.web.auth import Allow, Caller
from shared.web.authz import NOBODY, Action
from shared.web.bodies import Accepts, body_of
from shared.web.hooks import SignedBy
from shared.web.idempotency import Claimant
from shared.web.parameters import parameters_of
from shared.web.problems import ApiError
from shared.web.requests import StrictRequest

M = TypeVar("M")


class GovernedRoute(APIRoute):
    """A route that needs a caller. `max_body_size` bounds its body in bytes, else the service's setting does."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        max_body_size: int | None = None,
        openapi_extra: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.most_bytes = max_body_size
        super().__init__(path, endpoint, openapi_extra=openapi_extra, **options)
        self.openapi_extra = _described(self.dependant, max_body_size) | (openapi_extra or {}) or None

    @property
    def policy(self) -> Action | None:
        """What its caller must be allowed to do; None for signed messages."""
        marker = _one(self.dependant, Allow)
        return marker.action if marker else None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        caller = self._caller()
        body = body_of(self.dependant, _one(self.dependant, Accepts))
        parameters = parameters_of(self.dependant)
        open_transaction = _directly if _one(self.dependant, UsesDirect) else _in_session
        label = f"{'/'.join(sorted(self.methods or ()))} {self.path_format}"

        async def governed(request: Request) -> Response:
            kernel: Kernel = request.app.state.kernel
            strict = StrictRequest(request.scope, request.receive)
            strict.max_bytes = self.most_bytes or kernel.settings.max_body_bytes
            await caller.recognise(kernel, strict)
            if strict.scope["query_string"]:
                parameters.check(strict.query_params)
            try:
                if strict.method != "GET":
                    await body.receive(strict)
                caller.confirm(strict)
                opened = open_transaction(caller, kernel, strict, label)
                response = await _answer(opened, caller, kernel, strict, lambda: handle(strict))
            finally:
                await body.close(strict)
            return finished(strict, response)

        return governed

    def _caller(self) -> Caller:
        marker = _one(self.dependant, Allow) or _one(self.dependant, SignedBy)
        if marker is None:
            raise TypeError(
                f"{'/'.join(sorted(self.methods or ()))} {self.path_format} ({self.name}) does not say who may call: "
                "give it a parameter such as `caller: Annotated[Principal, allow(policy.READ)]`"
            )
        if isinstance(marker, SignedBy) and _one(self.dependant, UsesDirect) is not None:
            raise TypeError(
                f"{self.path_format}: a signed message has no member to open a direct transaction for"
            )
        return marker.caller


Run = Callable[[], Coroutine[Any, Any, Response]]
Once = Callable[[Run], Coroutine[Any, Any, Response]]


@asynccontextmanager
async def _in_session(
    caller: Caller, kernel: Kernel, request: StrictRequest, label: str
) -> AsyncIterator[tuple[Claim | None, Once]]:
    """A transaction of the caller's with a session, and how to run the request in it once per key."""
    async with caller.enter(kernel, request) as (session, claimant):
        claim = idempotency.read_claim(request, claimant, label)
        yield claim, lambda run: idempotency.once(session, claim, kernel.clock(), run)


@asynccontextmanager
async def _directly(
    caller: Caller, kernel: Kernel, request: StrictRequest, label: str
) -> AsyncIterator[tuple[Claim | None, Once]]:
    """The same without a session, for callers with an identity; the key is claimed by the first statement."""
    identity: Identity = request.state.identity
    claimant = Claimant(
        NOBODY, f"{identity.issuer}|{identity.subject}", request.headers.get("idempotency-key")
    )
    asked = idempotency.read_claim(request, claimant, label)
    async with direct(kernel.database, identity, asked, kernel.clock()) as transaction:
        request.state.direct, request.state.principal = transaction, transaction.principal
        claim = asked and replace(asked, org=str(transaction.principal.org_id))
        yield claim, lambda run: idempotency.once_direct(transaction, claim, run)


async def _answer(
    opened: AbstractAsyncContextManager[tuple[Claim | None, Once]],
    caller: Caller,
    kernel: Kernel,
    request: StrictRequest,
    run: Run,
) -> Response:
    """The answer of one transaction, or of the same request before."""
    claim = None
    try:
        async with opened as (claim, once):
            response = await once(run)
            failpoints.hit("api_before_commit")
        failpoints.hit("api_after_commit")
    except (ApiError, Refusal) as refused:
        response = problems.refusal_response(request, refused)
        if claim is not None and _is_final(refused, response):
            async with caller.enter(kernel, request) as (session, _):
                await idempotency.remember_refusal(session, claim, kernel.clock(), response)
    return response


def _is_final(refused: ApiError | Refusal, response: Response) -> bool:
    """Whether the same request would be refused again, so that the answer may be kept under its key."""
    return response.status_code in (409, 422) and not isinstance(refused, NotYet)


class UsesDirect:
    """The marker of a route that runs in a direct transaction instead of a session (`DirectTransaction`)."""

    async def __call__(self, request: Request) -> Direct:
        transaction: Direct = request.state.direct
        return transaction


DirectTransaction = Annotated[Direct, Depends(UsesDirect())]


def _described(dependant: Dependant, max_body_size: int | None) -> dict[str, Any]:
    """What FastAPI cannot know: the limit of the body, and the media types of raw bytes."""
    accepted = _one(dependant, Accepts)
    limit = {"x-max-body-bytes": max_body_size} if max_body_size else {}
    body = {"requestBody": {"required": True, "content": dict(accepted.content)}} if accepted else {}
    return limit | body


def _one(dependant: Dependant, kind: type[M]) -> M | None:
    return next(_markers(dependant, kind), None)


def _markers(dependant: Dependant, kind: type[M]) -> Iterator[M]:
    """The markers of a kind among everything a route depends on."""
    if isinstance(dependant.call, kind):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _markers(inner, kind)


def new_router(tag: str, prefix: str) -> APIRouter:
    """A router of governed routes under one tag of the API document."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=GovernedRoute)
