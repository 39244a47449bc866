"""Signatures are what the Standard Webhooks specification and its reference library expect."""

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.pure.refusal import Refusal
from shared.pure.signing import (
    new_secret,
    secret_key,
    signature,
    signed_headers,
)

BODY = json.dumps({"type": "x", "title": "Prüfung"}).encode()


def test_the_published_vector_is_reproduced():
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_reference_library_accepts_a_signed_delivery():
    secret = new_secret()
    headers = signed_headers([secret], "msg_0198", datetime.now(UTC), BODY)
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)


def test_during_a_rotation_the_old_and_the_new_secret_both_verify():
    old, new = new_secret(), new_secret()
    headers = signed_headers([new, old], "msg_0198", datetime.now(UTC), BODY)
    assert Webhook(old).verify(BODY, headers) == Webhook(new).verify(BODY, headers)
    assert headers["webhook-signature"].split(" ")[0] == signature(
        new, "msg_0198", int(headers["webhook-timestamp"]), BODY
    )


@pytest.mark.parametrize(
    "changed",
    [{"webhook-id": "msg_0199"}, {"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) - 60)}],
    ids=["another id", "another time"],
)
def test_a_signature_covers_id_and_time(changed):
    secret = new_secret()
    headers = signed_headers([secret], "msg_0198", datetime.now(UTC), BODY) | changed
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers)


def test_a_signature_covers_every_byte_of_the_body():
    secret = new_secret()
    headers = signed_headers([secret], "msg_0198", datetime.now(UTC), BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)


def test_a_new_secret_has_32_random_bytes():
    assert len(secret_key(new_secret())) == 32
    assert new_secret() != new_secret()


@pytest.mark.parametrize(
    "bad", ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_no base64!"]
)
def test_malformed_secrets_are_refused(bad):
    with pytest.raises(Refusal) as refused:
        secret_key(bad)
    assert refused.value.code == "bad_signing_secret"


def test_a_message_id_with_a_dot_is_refused():
    with pytest.raises(Refusal, match="no dot"):
        signed_headers([new_secret()], "msg.0198", datetime.now(UTC), BODY)
