"""Stand-ins for an agency's identity provider and ticketing system: for trying Concordat out and for tests."""

import hmac
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shared.contracts.base import rfc3339
from shared.pure.refusal import Refusal
from shared.pure.signing import secret_key, signature

ISSUER_VARIABLE = "IDENTITY_PROVIDER_ISSUER"
SECRET_VARIABLE = "WEBHOOK_SINK_SECRET"  # noqa: S105 - the name of a variable
ISSUER = "http://127.0.0.1:8090"
AUDIENCE = "concordat"
TOKEN_SECONDS = 3600
KEPT_DELIVERIES = 100
LONGEST_BODY = 1_048_576
TOLERATED_SECONDS = 300
WARNING = (
    "This identity provider believes everybody: whoever asks for a token gets it, as whoever they say they are."
    "\nIt exists to try Concordat out. Configure your agency's identity provider in its place.\n\n"
    "  curl -d subject=alice {issuer}/token\n"
)


class Signer:
    """A P-256 key made for this process, under a key id no other process has had."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_id = uuid4().hex

    def key_set(self) -> dict[str, list[dict[str, str]]]:
        """The public key as a JWK set (RFC 7517)."""
        algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
        public = json.loads(algorithm.to_jwk(self._key.public_key()))
        return {"keys": [public | {"kid": self._key_id, "use": "sig", "alg": "ES256"}]}

    def token(self, subject: str) -> str:
        """An access token (RFC 9068) good for an hour."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        return jwt.encode(
            claims, self._key, algorithm="ES256", headers={"kid": self._key_id, "typ": "at+jwt"}
        )


def named(stand_in: str, environment: Mapping[str, str]) -> Starlette:
    """`identity-provider` (IDENTITY_PROVIDER_ISSUER: the name its tokens carry) or `webhook-sink`
    (WEBHOOK_SINK_SECRET: verifies every hook that was not given a secret of its own)."""
    return STAND_INS[stand_in](environment)


def identity_provider(issuer: str = ISSUER) -> Starlette:
    """An OpenID provider without users or passwords; services are set to believe `issuer`."""
    signer = Signer(issuer)

    async def warn(request: Request) -> Response:
        return PlainTextResponse(WARNING.format(issuer=issuer))

    async def configuration(request: Request) -> Response:
        return JSONResponse(_discovery(issuer))

    async def keys(request: Request) -> Response:
        return JSONResponse(signer.key_set())

    async def token(request: Request) -> Response:
        subject = await _subject(request)
        if not subject:
            refused = {"error": "invalid_request", "error_description": "say for whom: subject=<name>"}
            return JSONResponse(refused, 400)
        granted = {
            "access_token": signer.token(subject),
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
        }
        return JSONResponse(granted, headers={"Cache-Control": "no-store"})

    return Starlette(
        routes=[
            Route("/", warn),
            Route("/healthz", _live),
            Route("/.well-known/openid-configuration", configuration),
            Route("/jwks.json", keys),
            Route("/token", token, methods=["POST"]),
        ]
    )


def _discovery(issuer: str) -> dict[str, object]:
    """What OpenID Connect Discovery 1.0 requires of a provider that only grants access tokens."""
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/jwks.json",
        "token_endpoint": f"{issuer}/token",
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }


async def _subject(request: Request) -> str:
    """`subject` of a form or of a JSON object; empty when it is missing."""
    body = (await request.body()).decode(errors="replace")
    if "json" not in request.headers.get("content-type", ""):
        return dict(parse_qsl(body)).get("subject", "")
    try:
        fields = json.loads(body)
    except ValueError:
        return ""
    return str(fields.get("subject", "")) if isinstance(fields, dict) else ""


async def _live(request: Request) -> Response:
    return JSONResponse({"status": "live"})


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One webhook as it arrived; `verified` is None when no secret is known for its hook."""

    hook: str
    received_at: str
    verified: bool | None
    webhook_id: str
    body: object

    def __str__(self) -> str:
        state = {True: "verified", False: "BAD SIGNATURE", None: "unverified (no secret)"}[self.verified]
        return f"{self.received_at} {self.hook} {self.webhook_id or '(no id)'} {state}"


class WebhookSink:
    """Receives webhooks, checks their signatures and remembers the last hundred."""

    def __init__(self, secret: str | None = None) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=KEPT_DELIVERIES)
        self._secret = secret
        self._secrets: dict[str, str] = {}

    async def receive(self, request: Request) -> Response:
        hook, body = request.path_params["name"], await request.body()
        if len(body) > LONGEST_BODY:
            return JSONResponse({"error": "the body is too large"}, 413)
        secret = self._secrets.get(hook, self._secret)
        delivery = Delivery(
            hook=hook,
            received_at=rfc3339(datetime.now(UTC)),
            verified=None if secret is None else is_signed(secret, request, body),
            webhook_id=request.headers.get("webhook-id", ""),
            body=_readable(body),
        )
        self.deliveries.appendleft(delivery)
        print(delivery, flush=True)
        return JSONResponse({"verified": delivery.verified}, 401 if delivery.verified is False else 200)

    async def learn(self, request: Request) -> Response:
        """The secret of one hook, as its owner received it when the endpoint was registered."""
        secret = (await request.body()).decode(errors="replace").strip()
        try:
            secret_key(secret)
        except Refusal as refusal:
            return JSONResponse({"error": str(refusal)}, 422)
        self._secrets[request.path_params["name"]] = secret
        return Response(status_code=204)

    async def show(self, request: Request) -> Response:
        """The deliveries, newest first."""
        return JSONResponse({"deliveries": [asdict(delivery) for delivery in self.deliveries]})


def webhook_sink(secret: str | None = None, prefix: str = "") -> Starlette:
    """A receiver of Standard Webhooks; `prefix` such as `/sink` puts it beside other applications."""
    sink = WebhookSink(secret)
    return Starlette(
        routes=[
            Route(f"{prefix}/", sink.show),
            Route(f"{prefix}/healthz", _live),
            Route(f"{prefix}/hook/{{name}}", sink.receive, methods=["POST"]),
            Route(f"{prefix}/hook/{{name}}/secret", sink.learn, methods=["PUT"]),
        ]
    )


STAND_INS: Mapping[str, Callable[[Mapping[str, str]], Starlette]] = {
    "identity-provider": lambda environment: identity_provider(environment.get(ISSUER_VARIABLE) or ISSUER),
    "webhook-sink": lambda environment: webhook_sink(environment.get(SECRET_VARIABLE) or None),
}


def is_signed(secret: str, request: Request, body: bytes) -> bool:
    """Whether a request carries a fresh signature made with `secret` (Standard Webhooks, version v1)."""
    message_id, stamp = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(time.time() - int(stamp)) > TOLERATED_SECONDS:
        return False
    expected = signature(secret, message_id, int(stamp), body).encode()
    given = request.headers.get("webhook-signature", "").encode().split(b" ")
    return any([hmac.compare_digest(expected, candidate) for candidate in given])  # noqa: C419 - constant time


def _readable(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
