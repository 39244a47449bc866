"""The way out, against a real receiver: what is blocked, what is cut, what is never followed."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.notifier.channels.domain import Fault
from services.notifier.channels.webhook.domain.addresses import EgressPolicy, egress_policy
from services.notifier.channels.webhook.service.egress import Egress, tls_context
from tests.support.patience import PATIENCE
from tests.support.receiver import Manner, Receiver, Reply

LOCAL = egress_policy(["127.0.0.0/8"], [], ["1-65535"])
SHORT = timedelta(seconds=0.5)
LONG = timedelta(seconds=PATIENCE)
"""Nothing here waits for it but a hang."""


def answering(*answers):
    """A resolver that gives each tuple of `answers` once, then the last for ever."""
    left = list(answers)

    async def resolve(host, port):
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


async def post(url, policy=LOCAL, headers=None, **options):
    async with Egress(policy, deadline=options.pop("deadline", LONG), **options) as egress:
        return await egress.post(url, b'{"a":1}', headers or {})


async def test_a_body_arrives_exactly_with_our_headers_only():
    async with Receiver() as receiver:
        answer = await post(receiver.url("/hook?x=1"), headers={"webhook-id": "msg_1"})
    request = receiver.requests[0]
    assert (answer.status, answer.excerpt, answer.address) == (200, "ok", "127.0.0.1")
    assert (request.method, request.path, request.body) == ("POST", "/hook?x=1", b'{"a":1}')
    assert request.headers.keys() == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "webhook-id",
    }


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(status):
    async with Receiver() as receiver:
        receiver.script.append(Reply(status=status, headers={"Location": receiver.url("/elsewhere")}))
        answer = await post(receiver.url())
    assert (answer.status, len(receiver.requests)) == (status, 1)


@pytest.mark.parametrize("manner", [Manner.drip, Manner.drip_headers, Manner.hang])
async def test_an_answer_that_never_ends_is_cut_at_the_deadline(manner):
    async with Receiver(Reply(manner=manner)) as receiver:
        answer = await post(receiver.url(), deadline=SHORT)
    assert answer.fault is Fault.timeout
    assert answer.duration >= SHORT


async def test_an_endless_body_is_cut_and_only_its_start_is_kept():
    async with Receiver(Reply(manner=Manner.endless)) as receiver:
        answer = await post(receiver.url())
    assert (answer.status, answer.truncated, len(answer.excerpt)) == (200, True, 2048)


@pytest.mark.parametrize("manner", [Manner.huge_header, Manner.reset])
async def test_a_broken_answer_is_a_network_fault(manner):
    async with Receiver(Reply(manner=manner)) as receiver:
        answer = await post(receiver.url())
    assert answer.fault is Fault.network
    assert answer.error


async def test_a_closed_port_is_a_network_fault():
    async with Receiver() as receiver:
        url = receiver.url()
    assert (await post(url)).fault is Fault.network


async def test_compressed_answers_are_not_unpacked():
    bomb = Reply(body=b"\x1f\x8b" + b"\x00" * 100, headers={"Content-Encoding": "gzip"})
    async with Receiver(bomb) as receiver:
        assert (await post(receiver.url())).status == 200


async def test_cookies_are_not_kept():
    setting = Reply(headers={"Set-Cookie": "a=b; Path=/"})
    async with Receiver(setting) as receiver, Egress(LOCAL, deadline=LONG) as egress:
        await egress.post(receiver.url(), b"1", {})
        await egress.post(receiver.url(), b"2", {})
    assert "cookie" not in receiver.requests[1].headers


async def test_proxies_of_the_environment_are_ignored(monkeypatch):
    async with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("HTTP_PROXY", proxy.url("/"))
        monkeypatch.setenv("http_proxy", proxy.url("/"))
        await post(receiver.url())
    assert (len(proxy.requests), len(receiver.requests)) == (0, 1)


async def test_secrets_a_receiver_echoes_are_not_kept():
    async with Receiver(Reply(body=b"you sent whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")) as receiver:
        assert "MfKQ" not in (await post(receiver.url())).excerpt


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "169.254.169.254",
    ],
)
async def test_no_spelling_of_this_machine_is_reached_without_permission(host):
    public_only = EgressPolicy(ports=(range(1, 65536),))
    async with Receiver() as receiver:
        answer = await post(f"http://{host}:{receiver.port}/", public_only)
    assert (answer.fault, receiver.connections) == (Fault.blocked, 0)


async def test_one_bad_address_among_good_ones_refuses_them_all():
    async with Receiver() as receiver:
        answer = await post(receiver.url(host="mixed.test"), resolve=answering(("127.0.0.1", "10.0.0.1")))
    assert (answer.fault, receiver.connections) == (Fault.blocked, 0)


async def test_a_name_that_changes_its_address_between_two_looks_is_judged_at_every_connection():
    async with Receiver() as receiver:
        resolve = answering(("127.0.0.1",), ("192.168.0.1",))
        async with Egress(LOCAL, deadline=LONG, resolve=resolve) as egress:
            first = await egress.post(receiver.url(host="rebind.test"), b"1", {})
            second = await egress.post(receiver.url(host="rebind.test"), b"2", {})
    assert (first.status, second.fault, receiver.connections) == (200, Fault.blocked, 1)


async def test_the_name_is_looked_up_once_per_connection():
    looks = []

    async def resolve(host, port):
        looks.append(host)
        return ("127.0.0.1",)

    async with Receiver() as receiver:
        await post(receiver.url(host="once.test"), resolve=resolve)
    assert looks == ["once.test"]


async def test_an_allowed_host_reaches_inside_and_others_do_not():
    policy = egress_policy([], ["tickets.internal"], ["1-65535"])
    async with Receiver() as receiver:
        allowed = await post(receiver.url(host="tickets.internal"), policy, resolve=answering(("127.0.0.1",)))
        other = await post(receiver.url(host="other.internal"), policy, resolve=answering(("127.0.0.1",)))
    assert (allowed.status, other.fault) == (200, Fault.blocked)


async def test_a_port_that_is_not_allowed_is_blocked():
    policy = egress_policy(["127.0.0.0/8"], [], ["443"])
    async with Receiver() as receiver:
        answer = await post(receiver.url(), policy)
    assert (answer.fault, receiver.connections) == (Fault.blocked, 0)


@pytest.mark.parametrize("answers", [(), ("not an address",), ("127.0.0.1%lo",)])
async def test_a_resolver_that_answers_nonsense_reaches_nothing(answers):
    async with Receiver() as receiver:
        answer = await post(receiver.url(host="odd.test"), resolve=answering(answers))
    assert answer.fault in (Fault.blocked, Fault.network)
    assert receiver.connections == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate for tickets.test and its file, trusted by nobody but those who are told."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tickets.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("tickets.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder


def serving(authority, newest=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    context.maximum_version = newest
    return context


@pytest.mark.parametrize(
    ("host", "trusted", "newest", "status", "fault"),
    [
        ("tickets.test", True, ssl.TLSVersion.TLSv1_3, 200, None),
        ("tickets.test", True, ssl.TLSVersion.TLSv1_2, 200, None),
        ("another.test", True, ssl.TLSVersion.TLSv1_3, None, Fault.tls),
        ("tickets.test", False, ssl.TLSVersion.TLSv1_3, None, Fault.tls),
    ],
    ids=["trusted", "TLS 1.2", "wrong name", "unknown authority"],
)
async def test_certificates_are_verified_for_the_name_in_the_url(
    authority, host, trusted, newest, status, fault
):
    async with Receiver(tls=serving(authority, newest)) as receiver:
        answer = await post(
            receiver.url(host=host),
            resolve=answering(("127.0.0.1",)),
            ca_file=authority / "cert.pem" if trusted else None,
        )
    assert (answer.status, answer.fault) == (status, fault)


def test_verification_is_always_on_and_old_protocols_are_off():
    context = tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
