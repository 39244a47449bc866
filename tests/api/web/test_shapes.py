"""Every way to call, every kind of body and every kind of answer, composed by their signatures."""

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import Form, Response, UploadFile
from pydantic import Field, SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from shared.data.session import Session
from shared.pure.signing import new_secret, signed_headers
from shared.runtime.clock import Now
from shared.web.answers import FileAnswer, HtmlPage
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.bodies import Upload, accepts
from shared.web.hooks import Sender, signed_by
from shared.web.route import DirectTransaction, new_router
from shared.web.schemas import In, Needed, Out, Text
from shared.web.sessions import COOKIE, SessionCookies, signed_in
from tests.api.web.conftest import StartToy
from tests.support import toy_service
from tests.support.harness import RunningService

TEAM = "customer.om_team"
BASE = "/changes/v1/shapes"
HOOK_SECRETS = {"desk": [new_secret(), new_secret()]}
KEYS = (SecretStr(Fernet.generate_key().decode()), SecretStr(Fernet.generate_key().decode()))

router = new_router("shapes", prefix=BASE)
Browser = Annotated[Principal, signed_in(toy_service.WRITE)]
Bearer = Annotated[Principal, allow(toy_service.WRITE)]


class Entry(In):
    title: Text
    reason: Needed
    tags: list[Text] = Field(default_factory=list)


class Echo(Out):
    by: str
    title: str
    tags: list[str]
    digest: str = ""


@router.post("/start", response_class=HtmlPage)
async def start_session(request: Request, now: Now, caller: Bearer) -> Response:
    page = HtmlPage("<p>Welcome</p>")
    token = request.headers["authorization"].removeprefix("Bearer ")
    session = SessionCookies.of(request.app.state.kernel.settings).start(page, token, now)
    page.headers["X-Form-Proof"] = session.csrf
    return page


@router.get("/page", response_class=HtmlPage)
async def show_page(caller: Browser) -> Response:
    return HtmlPage(f"<style>p{{color:red}}</style><p>{caller.display_name}</p>", "p{color:red}")


@router.post("/form", response_model=Echo)
async def send_form(form: Annotated[Entry, Form()], caller: Browser) -> Echo:
    return Echo(by=caller.subject, title=form.title, tags=form.tags)


@router.post("/session_json", response_model=Echo)
async def send_json(form: Entry, caller: Browser) -> Echo:
    return Echo(by=caller.subject, title=form.title, tags=form.tags)


@router.post("/session_direct", response_model=Echo)
async def send_directly(form: Entry, direct: DirectTransaction, caller: Browser) -> Echo:
    return Echo(by=caller.subject, title=form.title, tags=form.tags)


@router.post("/file", response_model=Echo, max_body_size=100_000)
async def send_file(title: Annotated[Text, Form()], file: UploadFile, caller: Bearer) -> Echo:
    content = await file.read()
    return Echo(
        by=caller.subject,
        title=f"{title}:{file.filename}",
        tags=[],
        digest=hashlib.sha256(content).hexdigest(),
    )


@router.post("/bytes", response_model=Echo, max_body_size=2_000_000)
async def send_bytes(
    upload: Annotated[Upload, accepts({"text/csv": {}, "application/x-ndjson": {}})], caller: Bearer
) -> Echo:
    digest = hashlib.sha256()
    async for piece in upload.pieces():
        digest.update(piece)
    return Echo(by=caller.subject, title=upload.media_type, tags=[], digest=digest.hexdigest())


async def _secrets(session: AsyncSession, path: Mapping[str, str]) -> Sequence[str]:
    assert await session.scalar(text("SELECT 1")) == 1
    return HOOK_SECRETS.get(path["hook"], [])


@router.post("/hooks/{hook}", response_model=Echo)
async def take_hook(
    hook: str, form: Entry, session: Session, sender: Annotated[Sender, signed_by(_secrets)]
) -> Echo:
    await session.execute(text("INSERT INTO doom VALUES (:x)"), {"x": len(form.title)})
    return Echo(by=sender.message_id, title=form.title, tags=form.tags)


async def _lines() -> AsyncIterator[bytes]:
    for number in range(3):
        yield f"{number}\n".encode()


@router.get("/download", response_class=FileAnswer)
async def download(caller: Bearer) -> Response:
    return FileAnswer(_lines(), 'Protokoll "März".txt', "text/plain")


@pytest.fixture(scope="module")
async def toy(start_toy: StartToy) -> AsyncIterator[RunningService]:
    async with start_toy(router, session_keys=KEYS) as service:
        yield service


async def sign_in(toy: RunningService) -> tuple[dict[str, str], str]:
    """The cookie a browser holds after signing in, and the proof its forms carry."""
    answer = await toy.post(TEAM, f"{BASE}/start")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    return {"Cookie": cookie.partition(";")[0]}, answer.headers["x-form-proof"]


# Sessions


async def test_a_browser_with_a_session_reads_a_page(toy: RunningService) -> None:
    cookie, _ = await sign_in(toy)
    page = await toy.client.get(f"{BASE}/page", headers=cookie)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    wanted = base64.b64encode(hashlib.sha256(b"p{color:red}").digest()).decode()
    assert f"style-src 'sha256-{wanted}'" in page.headers["content-security-policy"]


async def test_the_cookie_does_not_show_the_token(toy: RunningService) -> None:
    cookie, _ = await sign_in(toy)
    sealed = cookie["Cookie"].removeprefix(f"{COOKIE}=")
    assert toy.token(TEAM).split(".")[1] not in base64.urlsafe_b64decode(sealed).decode("latin-1")


async def test_a_form_needs_the_proof_of_its_page(toy: RunningService) -> None:
    cookie, proof = await sign_in(toy)
    fields = {"title": "t", "reason": "r", "tags": ["a", "b"]}
    sent = await toy.client.post(f"{BASE}/form", headers=cookie, data=fields | {"csrf_token": proof})
    assert (sent.status_code, sent.json()["tags"]) == (200, ["a", "b"])
    for wrong in ({}, {"csrf_token": "x"}, {"csrf_token": "é"}):
        foreign = await toy.client.post(f"{BASE}/form", headers=cookie, data=fields | wrong)
        assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_form")


async def test_scripts_of_our_pages_send_the_proof_in_a_header(toy: RunningService) -> None:
    cookie, proof = await sign_in(toy)
    body = {"title": "t", "reason": "r"}
    headers = cookie | {"X-CSRF-Token": proof}
    cross = headers | {"Sec-Fetch-Site": "cross-site"}
    for path in ("session_json", "session_direct"):
        for sent, status in ((headers, 200), (cross, 403), (cookie, 403)):
            assert (await toy.client.post(f"{BASE}/{path}", headers=sent, json=body)).status_code == status


async def test_a_session_ends_with_its_day_and_with_its_key(toy: RunningService) -> None:
    cookie, _ = await sign_in(toy)
    for wrong in ({}, {"Cookie": f"{COOKIE}=x"}, {"Cookie": f"{COOKIE}={Fernet.generate_key().decode()}"}):
        answer = await toy.client.get(f"{BASE}/page", headers=wrong)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert answer.headers["www-authenticate"] == "Cookie"
    toy.clock.advance(timedelta(hours=12, seconds=1))
    assert (await toy.client.get(f"{BASE}/page", headers=cookie)).json()["code"] == "not_signed_in"


async def test_a_session_sealed_by_the_key_before_still_opens(toy: RunningService) -> None:
    page = Response()
    SessionCookies(KEYS[1:]).start(page, toy.token(TEAM), toy.clock())
    cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
    assert (await toy.client.get(f"{BASE}/page", headers=cookie)).status_code == 200


async def test_the_policy_asks_a_session_as_it_asks_a_token(toy: RunningService) -> None:
    page = Response()
    SessionCookies(KEYS).start(page, toy.token("customer.isso"), toy.clock())
    cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
    answer = await toy.client.get(f"{BASE}/page", headers=cookie)
    assert (answer.status_code, answer.json()["code"]) == (403, "role_required")


# Forms, files, bytes


async def test_a_form_is_as_strict_as_json(toy: RunningService) -> None:
    cookie, proof = await sign_in(toy)
    headers = cookie | {"X-CSRF-Token": proof}
    wrong = {
        "unknown field": {"title": "t", "reason": "r", "admin": "1"},
        "blank": {"title": " ", "reason": "r"},
        "missing": {"title": "t"},
    }
    for what, fields in wrong.items():
        answer = await toy.client.post(f"{BASE}/form", headers=headers, data=fields)
        assert (answer.status_code, what) == (422, what)
        assert [error["pointer"] for error in answer.json()["errors"]] in (
            ["/admin"],
            ["/title"],
            ["/reason"],
        )
    twice = await toy.client.post(f"{BASE}/form", headers=headers, data={"title": ["a", "b"], "reason": "r"})
    assert (twice.status_code, twice.json()["code"]) == (400, "duplicate_name")
    other = await toy.client.post(f"{BASE}/form", headers=headers, json={"title": "t", "reason": "r"})
    assert other.status_code == 415


async def test_a_file_comes_with_its_fields_and_has_its_effect_once(toy: RunningService) -> None:
    content = b"\x00\xff" * 20_000
    headers = toy.headers(TEAM) | {"Idempotency-Key": "file-1"}
    for replayed in (False, True):  # the boundary differs from one to the other
        answer = await toy.client.post(
            f"{BASE}/file", headers=headers, data={"title": "t"}, files={"file": ("a.bin", content)}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["digest"] == hashlib.sha256(content).hexdigest()
        assert ("idempotency-replayed" in answer.headers) is replayed
    other = await toy.client.post(
        f"{BASE}/file", headers=headers, data={"title": "t"}, files={"file": ("a.bin", content[:-1])}
    )
    assert other.json()["code"] == "idempotency_key_reused"


async def test_a_file_is_bounded(toy: RunningService) -> None:
    answer = await toy.client.post(
        f"{BASE}/file", headers=toy.headers(TEAM), data={"title": "t"}, files={"file": ("a", b"x" * 100_001)}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


MULTIPART = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (MULTIPART, b""),
        (MULTIPART, b"--b"),
        (MULTIPART, b"--b\r\nno header\r\n\r\n"),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nx\r\n--b'),
        (MULTIPART, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
        ("multipart/form-data", b"--b--"),
        ("multipart/form-data; boundary=", b"--b--"),
        ("application/x-www-form-urlencoded", b"%ff=%fe&=&&==="),
        ("application/x-www-form-urlencoded", b"a=1&" * 1000),
    ],
)
async def test_a_broken_form_is_refused_with_a_problem_document(
    toy: RunningService, kind: str, content: bytes
) -> None:
    headers = toy.headers(TEAM) | {"Content-Type": kind}
    answer = await toy.client.post(f"{BASE}/file", headers=headers, content=content)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_bytes_are_taken_as_they_are(toy: RunningService, size: int) -> None:
    headers = toy.headers(TEAM) | {"Content-Type": "text/csv; charset=utf-8", "Idempotency-Key": f"b{size}"}
    for _ in range(2):
        answer = await toy.client.post(f"{BASE}/bytes", headers=headers, content=b"x" * size)
        assert (answer.status_code, answer.json()["title"]) == (200, "text/csv")
        assert answer.json()["digest"] == hashlib.sha256(b"x" * size).hexdigest()
    other = await toy.client.post(
        f"{BASE}/bytes", headers=headers | {"Content-Type": "text/plain"}, content=b"x"
    )
    assert (other.status_code, other.json()["code"]) == (415, "unsupported_media_type")


async def test_a_slow_body_holds_no_connection(toy: RunningService) -> None:
    in_use: list[int] = []

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(3):
            in_use.append(toy.kernel.database.connections_in_use)
            yield b"x"

    for path, kind in (
        ("bytes", "text/csv"),
        ("form", "application/x-www-form-urlencoded"),
        ("doom", "text/plain"),
    ):
        headers = toy.headers(TEAM) | {"Content-Type": kind}
        await toy.client.post(f"{BASE}/{path}", headers=headers, content=trickle())
    assert in_use
    assert set(in_use) == {0}


# Signed messages


async def deliver(
    toy: RunningService,
    message_id: str,
    body: bytes,
    secrets: Sequence[str],
    hook: str = "desk",
    late: int = 0,
) -> httpx.Response:
    sent_at = toy.clock() - timedelta(seconds=late)
    headers = signed_headers(secrets, message_id, sent_at, body) | {"Content-Type": "application/json"}
    return await toy.client.post(f"{BASE}/hooks/{hook}", headers=headers, content=body)


BODY = b'{"title": "done", "reason": "r"}'


async def test_a_signed_message_is_done_once(toy: RunningService) -> None:
    answers = [await deliver(toy, "msg-1", BODY, HOOK_SECRETS["desk"][1:]) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert ["idempotency-replayed" in answer.headers for answer in answers] == [False, True]


async def test_strangers_all_get_the_same_answer(toy: RunningService) -> None:
    good = HOOK_SECRETS["desk"]
    wrong = [
        await deliver(toy, "msg-2", BODY, [new_secret()]),
        await deliver(toy, "msg-2", BODY, good, hook="nobody"),
        await deliver(toy, "msg-2", BODY, good, late=301),
        await deliver(toy, "msg-2", BODY, good, late=-301),
        await deliver(toy, "x" * 201, BODY, good),
        await toy.client.post(f"{BASE}/hooks/desk", json={"title": "t", "reason": "r"}),
        await toy.client.post(
            f"{BASE}/hooks/desk", headers=toy.headers(TEAM), json={"title": "t", "reason": "r"}
        ),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in wrong} == {(401, "not_signed")}
    changed = signed_headers(good, "msg-3", toy.clock(), BODY) | {"Content-Type": "application/json"}
    other = await toy.client.post(
        f"{BASE}/hooks/desk", headers=changed, content=BODY.replace(b"done", b"fake")
    )
    assert other.json()["code"] == "not_signed"


# Answers


async def test_a_file_may_have_any_name(toy: RunningService) -> None:
    answer = await toy.get(TEAM, f"{BASE}/download")
    assert answer.text == "0\n1\n2\n"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Protokoll__M_rz_.txt\"; filename*=UTF-8''Protokoll%20%22M%C3%A4rz%22.txt"
    )
    head = await toy.client.head(f"{BASE}/download", headers=toy.headers(TEAM))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-disposition"] == answer.headers["content-disposition"]


def test_a_route_that_does_not_say_who_may_call_says_so() -> None:
    async def list_forgotten() -> None: ...

    with pytest.raises(
        TypeError, match=r"GET /changes/v1/shapes/forgotten \(list_forgotten\) does not say who may call"
    ):
        new_router("shapes", prefix=BASE).get("/forgotten")(list_forgotten)


def test_a_signed_message_has_no_direct_transaction() -> None:
    async def take(direct: DirectTransaction, sender: Annotated[Sender, signed_by(_secrets)]) -> None: ...

    with pytest.raises(TypeError, match="a signed message has no member"):
        new_router("shapes", prefix=BASE).post("/direct_hook")(take)
