"""The checker of histories finds what it must, and nothing in a good history."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.faults.checker import GENESIS, check, link
from tests.support.faults.history import History, Record, load

GROUPS = ("billing", "mail")
Break = Callable[[list[Record]], None]


def good_history(path: Path) -> list[Record]:
    """Three aggregates of four versions each, two groups, one retried command, one fault, webhooks, alerts."""
    history = History(path)
    history.note("fault", name="api killed")
    for group in GROUPS:
        history.note("group", name=group)
    n = 0
    for account in ("a", "b", "c"):
        hash_before = GENESIS
        for version in range(1, 5):
            n += 1
            _one_change(history, account, version, n)
            hash_before = _audited(history, account, version, hash_before)
        history.note("row", aggregate=account, version=4)
    _notified(history)
    history.note("settled", waiting=0)
    history.close()
    return list(load(path))


def _one_change(history: History, account: str, version: int, n: int) -> None:
    key, event = f"{account}-{version}", f"e{n}"
    place = {"aggregate": account, "version": version}
    lost = history.invoke("deposit", key=key)
    history.note("info", op=lost, f="deposit", key=key, status=503, retry_after="2")
    again = history.invoke("deposit", key=key)
    history.note("ok", op=again, f="deposit", key=key, status=201, **place)
    history.note("applied", key=key, **place)
    history.note("outbox", event=event, published=True, **place)
    for offset in (n, n + 100):  # a duplicate on the bus is allowed
        history.note("logged", event=event, partition=0, offset=offset, **place)
    for group in GROUPS:
        history.note("inbox", group=group, event=event, outcome="done")
        history.note("effect", group=group, event=event, n=n, **place)


def _audited(history: History, account: str, version: int, before: str) -> str:
    canonical = f"{account} {version}"
    sealed = link(before, canonical)
    place = {"aggregate": account, "version": version, "chain": account, "seq": version}
    history.note("audit", **place, canonical=canonical, hash=sealed)
    return sealed


def _notified(history: History) -> None:
    history.note("breach", rule="slow", window="w1")
    history.note("alert", rule="slow", window="w1")
    history.note("subscribed", endpoint="hook", event="e1")
    history.note("delivery", endpoint="hook", event="e1", id="d1", state="done")
    history.note("subscribed", endpoint="dead", event="e1")
    history.note("delivery", endpoint="dead", event="e1", id="d2", state="pending", sick=True)
    for _ in range(2):
        history.note("received", id="d1", endpoint="hook", body="{}", valid=True)
    history.note("passed", endpoint="quick", event="e1", beside="a stuck endpoint", ended=0, of=1)
    history.note("passed", endpoint="quick", event="e1", beside="a backlog", ended=300, of=5000)
    history.note("sent", address="203.0.113.7", allowed=True)
    history.note("seen", org="customer", object="n1", parties=["customer", "provider"])
    for moment, grown in (("warm", 0), ("after", 1)):
        held = {
            "rss_mb": 120.0 + 10 * grown,
            "fds": 20 + 5 * grown,
            "tasks": 14,
            "threads": 3,
            "connections": 9,
        }
        history.note("usage", process="service", pid=7, moment=moment, **held)


def drop(kind: str, **where: object) -> Break:
    def change(records: list[Record]) -> None:
        matching = [r for r in records if r["kind"] == kind and where.items() <= r.items()]
        assert matching, f"nothing to drop: {kind} {where}"
        for record in matching:
            records.remove(record)

    return change


def repeat(kind: str, **where: object) -> Break:
    def change(records: list[Record]) -> None:
        records.append(
            copy.deepcopy(next(r for r in records if r["kind"] == kind and where.items() <= r.items()))
        )

    return change


def alter(kind: str, where: Record, **values: object) -> Break:
    def change(records: list[Record]) -> None:
        matching = [r for r in records if r["kind"] == kind and where.items() <= r.items()]
        assert matching, f"nothing to alter: {kind} {where}"
        for record in matching:
            record.update(values)

    return change


def add(kind: str, **fields: object) -> Break:
    return lambda records: records.append({"kind": kind, "at": 9e9, **fields})


def rolled_back_but_published(records: list[Record]) -> None:
    alter("row", {"aggregate": "c"}, version=3)(records)
    for kind in ("ok", "applied", "audit"):
        drop(kind, aggregate="c", version=4)(records)


def swapped_on_the_bus(records: list[Record]) -> None:
    """Versions 2 and 3 of `a` change places, and so do their duplicates."""
    logged = [r for r in records if r["kind"] == "logged" and r["aggregate"] == "a"]
    for second in [r for r in logged if r["version"] == 2]:
        third = next(r for r in logged if r["version"] == 3 and r["offset"] == second["offset"] + 1)
        second["offset"], third["offset"] = third["offset"], second["offset"]


def denied(records: list[Record]) -> None:
    alter("info", {"key": "a-1"}, detail="It failed. Nothing was stored.")(records)
    alter("ok", {"key": "a-1"}, replayed=True)(records)


BROKEN: dict[str, tuple[Break, str]] = {
    "a lost row": (drop("row", aggregate="b"), "I1"),
    "a row that lost its last version": (alter("row", {"aggregate": "b"}, version=3), "I1"),
    "a lost audit row": (drop("audit", aggregate="c", version=4), "I1"),
    "a lost outbox row": (drop("outbox", event="e5"), "I1"),
    "an event of a change that was rolled back": (rolled_back_but_published, "I2"),
    "an event nobody wrote": (
        add("logged", event="ghost", aggregate="a", version=5, partition=0, offset=999),
        "I2",
    ),
    "an effect of an event nobody wrote": (
        add("effect", group="mail", event="ghost", aggregate="a", version=5, n=99),
        "I2",
    ),
    "an event the bus lost": (drop("logged", event="e6"), "I3"),
    "an event that was never marked": (alter("outbox", {"event": "e6"}, published=False), "I3"),
    "an event one group lost": (drop("inbox", group="mail", event="e6"), "I3"),
    "an event that still waits": (alter("settled", {}, waiting=1), "I3"),
    "two events in the wrong order": (swapped_on_the_bus, "I4"),
    "a gap at the front": (drop("logged", event="e1"), "I4"),
    "an aggregate on two partitions": (alter("logged", {"event": "e2"}, partition=1), "I4"),
    "effects in the wrong order": (alter("effect", {"group": "mail", "event": "e2"}, n=99), "I4"),
    "an effect twice": (repeat("effect", group="mail", event="e7"), "I5"),
    "an effect that is missing": (drop("effect", group="mail", event="e7"), "I5"),
    "a command that took effect twice": (repeat("applied", key="a-1"), "I5"),
    "a retry that got another answer": (
        add("ok", op=99, f="deposit", key="a-1", status=201, aggregate="a", version=2),
        "I5",
    ),
    "an alert twice": (repeat("alert"), "I6"),
    "no alert at all": (drop("alert"), "I6"),
    "an alert in a window without a breach": (add("alert", rule="slow", window="w2"), "I6"),
    "a delivery twice": (repeat("delivery"), "I6"),
    "no delivery at all": (drop("delivery", id="d2"), "I6"),
    "a delivery to an endpoint that did not subscribe": (
        add("delivery", endpoint="other", event="e1", id="d3", state="pending", sick=True),
        "I6",
    ),
    "a webhook whose copies differ": (
        add("received", id="d1", body="{ }", valid=True),
        "I7",
    ),
    "a bad signature": (add("received", id="d1", body="{}", valid=False), "I7"),
    "a delivery that never arrived": (drop("received", id="d1"), "I7"),
    "a delivery nobody made although its endpoint is well": (
        alter("delivery", {"id": "d2"}, sick=False),
        "I7",
    ),
    "a webhook at another's endpoint": (
        add("received", id="d1", endpoint="dead", body="{}", valid=True),
        "I7",
    ),
    "a webhook that is no delivery": (
        add("received", id="d9", endpoint="hook", body="{}", valid=True),
        "I7",
    ),
    "a healthy endpoint that had to wait": (
        alter("passed", {"beside": "a stuck endpoint"}, ended=1),
        "I8",
    ),
    "a healthy endpoint that had to wait for a whole backlog": (
        alter("passed", {"beside": "a backlog"}, ended=5000),
        "I8",
    ),
    "a request to a refused address": (add("sent", address="10.0.0.1", allowed=False), "I9"),
    "a row in foreign eyes": (add("seen", org="other", object="n1", parties=["customer"]), "I10"),
    "two audit rows of one change": (repeat("audit", aggregate="a", version=4), "I11"),
    "a gap in the audit chain": (alter("audit", {"aggregate": "a", "version": 4}, seq=5), "I11"),
    "an audit row that was altered": (alter("audit", {"aggregate": "a", "version": 2}, canonical="x"), "I11"),
    "two winners of one version": (
        add("ok", op=99, f="deposit", key="other", status=200, aggregate="b", version=2),
        "I12",
    ),
    "a server error": (add("info", op=99, f="deposit", key="k", status=500), "I13"),
    "a 503 that does not say when": (add("info", op=99, f="deposit", key="k", status=503), "I13"),
    "a 503 without a fault": (drop("fault"), "I13"),
    "a 503 that denies what was done": (denied, "I13"),
    "memory that grew": (alter("usage", {"moment": "after"}, rss_mb=133.0), "I14"),
    "connections that were not given back": (alter("usage", {"moment": "after"}, connections=13), "I14"),
    "threads that never ended": (alter("usage", {"moment": "after"}, threads=8), "I14"),
    "files that stayed open": (alter("usage", {"moment": "after"}, fds=29), "I14"),
    "tasks nobody waits for": (alter("usage", {"moment": "after"}, tasks=19), "I14"),
    "a process that was not the same afterwards": (alter("usage", {"moment": "after"}, pid=8), "I14"),
    "a process that was measured once only": (drop("usage", moment="after"), "I14"),
}


def test_a_good_history_breaks_nothing(tmp_path: Path) -> None:
    assert check(good_history(tmp_path / "h.jsonl")) == []


@pytest.mark.parametrize("name", BROKEN)
def test_the_checker_names(name: str, tmp_path: Path) -> None:
    records = good_history(tmp_path / "h.jsonl")
    spoil, invariant = BROKEN[name]
    spoil(records)
    named = {violation.invariant.partition(" ")[0] for violation in check(records)}
    assert invariant in named, check(records)


@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("an event one group lost", "I3"),
        ("an effect twice", "I5"),
        ("two events in the wrong order", "I4"),
        ("an event nobody wrote", "I2"),
        ("a lost audit row", "I1"),
    ],
)
def test_it_names_nothing_else(name: str, only: str, tmp_path: Path) -> None:
    records = good_history(tmp_path / "h.jsonl")
    BROKEN[name][0](records)
    named = {violation.invariant.partition(" ")[0] for violation in check(records)}
    assert named == {only}, check(records)
