"""Every way to say no has one status in HTTP and one answer for messages."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request

from shared.data.database_errors import DatabaseError, kind_of
from shared.messaging.failures import Failure, classify
from shared.pure.refusal import (
    Finding,
    Forbidden,
    Invalid,
    Missing,
    NotYet,
    Refusal,
    Refused,
    Stale,
    checking_input,
)
from shared.web.problems import STATUS, refusal_response

KINDS = {
    Refused: (409, Failure.PERMANENT),
    NotYet: (409, Failure.NOT_YET),
    Stale: (412, Failure.PERMANENT),
    Missing: (404, Failure.NOT_YET),
    Forbidden: (403, Failure.PERMANENT),
    Invalid: (422, Failure.PERMANENT),
}


def made(kind: type[Refusal]) -> Refusal:
    if kind is Stale:
        return Stale()
    return Missing("charter") if kind is Missing else kind("a_code", "What to do next.")


def test_no_kind_was_forgotten() -> None:
    assert set(Refusal.__subclasses__()) == KINDS.keys() == STATUS.keys() - {Refusal}


@pytest.mark.parametrize("kind", KINDS)
def test_each_edge_maps_a_refusal_once(kind: type[Refusal]) -> None:
    status, failure = KINDS[kind]
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""})
    answer = refusal_response(request, made(kind))
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (kind is NotYet)
    assert classify(made(kind)) is failure


class Tightened(Refused):
    """A rule of its own."""


def test_a_kind_of_refusal_is_answered_like_its_family() -> None:
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""})
    assert refusal_response(request, Tightened("a", "b")).status_code == 409


def test_a_rule_about_the_input_itself_is_invalid_at_its_place() -> None:
    with pytest.raises(Invalid) as caught, checking_input():
        raise Refused("too_long", "Shorten it.", "/title")
    assert caught.value.findings == (Finding("too_long", "Shorten it.", "/title"),)


@pytest.mark.parametrize("refusal", [Missing("charter"), Forbidden("role", "No."), Stale()])
def test_what_is_no_rule_about_the_input_stays_what_it_is(refusal: Refusal) -> None:
    with pytest.raises(type(refusal)), checking_input():
        raise refusal


STATES = {
    "23505": DatabaseError.CLASH,
    "23P01": DatabaseError.CLASH,
    "23503": DatabaseError.CLASH,
    "23502": DatabaseError.BUG,
    "23514": DatabaseError.BUG,
    "22003": DatabaseError.UNFIT,
    "42501": DatabaseError.BUG,
    "42703": DatabaseError.BUG,
    "42P01": DatabaseError.BUG,
    "40001": DatabaseError.UNAVAILABLE,
    "40P01": DatabaseError.UNAVAILABLE,
    "55P03": DatabaseError.UNAVAILABLE,
    "53300": DatabaseError.UNAVAILABLE,
    "57P01": DatabaseError.UNAVAILABLE,
    "25006": DatabaseError.UNAVAILABLE,
    "08006": DatabaseError.UNAVAILABLE,
    "57014": DatabaseError.CANCELLED,
    "P0001": DatabaseError.BUG,
    "XX000": DatabaseError.BUG,
}


@pytest.mark.parametrize("state", STATES)
def test_a_state_means_the_same_with_and_without_a_wrapper(state: str) -> None:
    error = asyncpg.PostgresError.new({"C": state, "M": "said", "S": "ERROR"})
    assert kind_of(error) is STATES[state]
    assert kind_of(DBAPIError("SELECT 1", {}, error)) is STATES[state]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), DatabaseError.UNAVAILABLE),
        (ConnectionRefusedError(), DatabaseError.UNAVAILABLE),
        (asyncpg.exceptions.InvalidCachedStatementError("stale plan"), DatabaseError.UNAVAILABLE),
        (asyncpg.DataError("no int"), DatabaseError.UNFIT),
        (asyncpg.InterfaceError("closed"), DatabaseError.UNAVAILABLE),
        (KeyError("x"), None),
        (FileNotFoundError("x"), None),
    ],
)
def test_what_has_no_state(error: Exception, kind: DatabaseError | None) -> None:
    assert kind_of(error) is kind
