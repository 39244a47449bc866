"""What a receiver's answer means, and how it is told to the endpoint's owner."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.channels.domain import Fault, Verdict
from services.notifier.channels.webhook.domain.answers import (
    LONGEST_RETRY_AFTER,
    explained_fault,
    explained_status,
    retry_after,
    verdict_of_fault,
    verdict_of_status,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.delivered),
        (202, Verdict.delivered),
        (204, Verdict.delivered),
        (301, Verdict.configuration),
        (302, Verdict.configuration),
        (400, Verdict.retry),
        (401, Verdict.configuration),
        (403, Verdict.configuration),
        (404, Verdict.configuration),
        (405, Verdict.configuration),
        (408, Verdict.retry),
        (409, Verdict.retry),
        (410, Verdict.gone),
        (413, Verdict.configuration),
        (415, Verdict.configuration),
        (422, Verdict.configuration),
        (425, Verdict.retry),
        (429, Verdict.throttled),
        (500, Verdict.retry),
        (502, Verdict.throttled),
        (503, Verdict.retry),
        (504, Verdict.throttled),
        (999, Verdict.retry),
    ],
)
def test_every_status_has_its_verdict(status, verdict):
    assert verdict_of_status(status) is verdict


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (Fault.blocked, Verdict.blocked),
        (Fault.timeout, Verdict.retry),
        (Fault.network, Verdict.retry),
        (Fault.tls, Verdict.configuration),
    ],
)
def test_every_fault_has_its_verdict(fault, verdict):
    assert verdict_of_fault(fault) is verdict


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (302, ["HTTP 302", "never followed", "url"]),
        (400, ["HTTP 400 (Bad Request)", "again by itself"]),
        (401, ["HTTP 401 (Unauthorized)", "authorization"]),
        (404, ["HTTP 404 (Not Found)", "correct the endpoint's url"]),
        (410, ["HTTP 410 (Gone)", "switched off", "new url", "replay"]),
        (422, ["HTTP 422", "template"]),
        (429, ["HTTP 429 (Too Many Requests)", "again by itself", "less"]),
        (500, ["HTTP 500 (Internal Server Error)", "again by itself", "its log"]),
        (599, ["HTTP 599.", "again by itself"]),
        (700, ["HTTP 700.", "again by itself"]),
    ],
)
def test_a_status_says_what_happened_and_what_to_do(status, words):
    explained = explained_status(status)
    assert [word for word in words if word not in explained] == []


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_success_needs_no_words(status):
    assert explained_status(status) == ""


def test_every_other_status_is_said_in_whole_sentences():
    for status in (s for s in range(100, 1000) if verdict_of_status(s) is not Verdict.delivered):
        assert re.fullmatch(
            r"The receiver answered HTTP \d{3}( \([^)]+\))?\. [A-Z].*[.]", explained_status(status)
        )


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_says_what_happened_and_what_to_do(fault):
    explained = explained_fault(fault, "10.0.0.1 is not a public address")
    assert re.fullmatch(r"[A-Z].*\. [A-Z].*\.", explained)
    assert fault is Fault.timeout or "10.0.0.1 is not a public address" in explained


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("0", timedelta(0)),
        ("120", timedelta(minutes=2)),
        (" 120 ", timedelta(minutes=2)),
        ("9" * 400, LONGEST_RETRY_AFTER),
        ("Fri, 20 Nov 2026 12:05:00 GMT", timedelta(minutes=5)),
        ("Fri, 20 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("Fri, 20 Nov 2099 12:05:00 GMT", LONGEST_RETRY_AFTER),
        ("Fri, 99 Nov 2026 12:05:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, wait):
    assert retry_after(header, NOW) == wait


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_no_retry_after_header_can_break_the_reader(header):
    wait = retry_after(header, NOW)
    assert wait is None or timedelta(0) <= wait <= LONGEST_RETRY_AFTER
