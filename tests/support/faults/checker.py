"""Reads a history after the run and names every promise that was broken. It asks no database and trusts no code.

Observations it understands (fields besides `kind`; ids are strings):
  fault        name                                     from here on 503 is an allowed answer
  settled      seconds                                  from the end of the last fault until nothing waited
  group        name                                     a consumer group that had to get every event
  row          aggregate, version                       a committed aggregate
  applied      key, aggregate, version                  a committed effect of the command with that key
  audit        aggregate, version [, chain, seq, hash, canonical]
  outbox       event, aggregate, version, published
  logged       event, aggregate, version, partition, offset     a message on the bus
  injected     event (if it has one)                    a message the test itself threw onto the bus
  inbox        group, event, outcome
  effect       group, event, aggregate, version, n      what a handler did; n counts commits
  breach, alert            rule, window
  subscribed, delivery     endpoint, event [, id, state]
  received     id, body, valid                          a webhook as it arrived
  latency      endpoint, seconds                        of a healthy endpoint beside a stuck one
  sent         address, allowed                         a request that left for an address
  seen         org, object, parties                     what an answer or event showed to an organization
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from tests.support.faults.history import Record

SETTLE_SECONDS: Final = 60.0
STUCK_ENDPOINT_SECONDS: Final = 2.0
DENIAL: Final = "Nothing was stored"
GENESIS: Final = "00" * 32
SET_ASIDE: Final = ("dead", "parked", "ignored")


@dataclass(frozen=True)
class Violation:
    """One broken promise: the invariant's name and what shows it."""

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"


class Facts:
    """A history sorted by kind of record."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_kind: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            self._by_kind[record["kind"]].append(record)

    def __getitem__(self, kind: str) -> list[Record]:
        return self._by_kind.get(kind, [])

    def keys(self, kind: str, *fields: str) -> Counter[tuple[Any, ...]]:
        """How often each combination of the fields occurs among records of a kind."""
        return Counter(tuple(record[name] for name in fields) for record in self[kind])

    @property
    def versions(self) -> dict[str, int]:
        """The committed version of every aggregate."""
        return {row["aggregate"]: row["version"] for row in self["row"]}

    @property
    def acknowledged(self) -> list[Record]:
        """The answers that promised a change, those with an aggregate and its new version."""
        return [answer for answer in self["ok"] if "aggregate" in answer]


def check(records: Iterable[Record]) -> list[Violation]:
    """Every violation in the history, by invariant."""
    facts = Facts(records)
    return [Violation(name, what) for name, find in CHECKS for what in find(facts)]


def _lost_commands(facts: Facts) -> Iterator[str]:
    """I1: what was acknowledged exists as row, audit row and outbox row."""
    versions = facts.versions
    audit, outbox = (facts.keys(kind, "aggregate", "version") for kind in ("audit", "outbox"))
    for answer in facts.acknowledged:
        place = (answer["aggregate"], answer["version"])
        missing = [
            name
            for name, is_there in (
                ("row", versions.get(place[0], 0) >= place[1]),
                ("audit row", place in audit),
                ("outbox row", place in outbox),
            )
            if not is_there
        ]
        if missing:
            yield f"{answer['f']} {_spoken(*place)} was acknowledged but has no {', no '.join(missing)}"


def _phantoms(facts: Facts) -> Iterator[str]:
    """I2: every event, wherever it is seen, comes from a committed change."""
    versions = facts.versions
    for event in facts["outbox"]:
        if versions.get(event["aggregate"], 0) < event["version"]:
            yield f"event {event['event']} tells of {_of(event)}, which was never committed"
    written = facts.keys("outbox", "event") + Counter(
        (e["event"],) for e in facts["injected"] if "event" in e
    )
    for kind in ("logged", "effect"):
        for event in facts[kind]:
            if (event["event"],) not in written:
                yield f"event {event['event']} of {_of(event)} is {kind} but not in the outbox"


def _undelivered(facts: Facts) -> Iterator[str]:
    """I3: every outbox row reaches the bus and each group, soon after the last fault."""
    logged, received = facts.keys("logged", "event"), facts.keys("inbox", "group", "event")
    for event in facts["outbox"]:
        if not event["published"] or (event["event"],) not in logged:
            yield f"event {event['event']} of {_of(event)} never reached the bus"
        for group in facts["group"]:
            if (group["name"], event["event"]) not in received:
                yield f"event {event['event']} of {_of(event)} never reached {group['name']}"
    for settled in facts["settled"]:
        if settled["seconds"] > SETTLE_SECONDS:
            yield f"it took {settled['seconds']:.1f} s after the last fault until nothing waited"


def _disorder(facts: Facts) -> Iterator[str]:
    """I4: the first deliveries of an aggregate are versions 1, 2, 3, ..., on one partition."""
    for aggregate, events in _by(facts["logged"], "aggregate"):
        if len({event["partition"] for event in events}) > 1:
            yield f"{aggregate} is on several partitions"
        events.sort(key=lambda event: event["offset"])
        first = list(dict.fromkeys(event["version"] for event in events))
        if first != list(range(1, len(first) + 1)):
            yield f"{aggregate} was first delivered as versions {first}"
    for (group, aggregate), effects in _by(facts["effect"], "group", "aggregate"):
        order = [effect["version"] for effect in sorted(effects, key=lambda effect: effect["n"])]
        if order != sorted(order):
            yield f"{group} applied {aggregate} as versions {order}"


def _effects(facts: Facts) -> Iterator[str]:
    """I5: one effect per group and event, one per command."""
    effects = facts.keys("effect", "group", "event")
    for (group, event), count in effects.items():
        if count > 1:
            yield f"{group} applied event {event} {count} times"
    for seen in facts["inbox"]:
        place = (seen["group"], seen["event"])
        if seen["outcome"] not in SET_ASIDE and place not in effects:
            yield f"{place[0]} took event {place[1]} as {seen['outcome']} but it had no effect"
    for (key,), count in facts.keys("applied", "key").items():
        if count > 1:
            yield f"command {key} took effect {count} times"
    for key, answers in _by(facts.acknowledged, "key"):
        if len({(answer["aggregate"], answer["version"]) for answer in answers}) > 1:
            yield f"command {key} was acknowledged with different results"


def _alerts(facts: Facts) -> Iterator[str]:
    """I6: one alert per rule and breach window, one delivery per endpoint and event."""
    for kind, wanted, fields in (
        ("alert", "breach", ("rule", "window")),
        ("delivery", "subscribed", ("endpoint", "event")),
    ):
        found = facts.keys(kind, *fields)
        yield from (f"{kind} {'/'.join(map(str, k))} exists {n} times" for k, n in found.items() if n > 1)
        missing = facts.keys(wanted, *fields).keys() - found.keys()
        yield from (f"{kind} {'/'.join(map(str, k))} is missing" for k in sorted(missing))


def _webhooks(facts: Facts) -> Iterator[str]:
    """I7: each finished delivery arrived, all its copies byte for byte the same, each validly signed."""
    for webhook, copies in _by(facts["received"], "id"):
        if len({copy["body"] for copy in copies}) > 1:
            yield f"webhook {webhook} arrived with different bodies"
        if not all(copy["valid"] for copy in copies):
            yield f"webhook {webhook} arrived with a signature that does not verify"
    arrived = facts.keys("received", "id")
    for delivery in facts["delivery"]:
        if delivery.get("state") == "done" and (delivery["id"],) not in arrived:
            yield f"delivery {delivery['id']} is done but never arrived"


def _delayed(facts: Facts) -> Iterator[str]:
    """I8: beside a stuck endpoint the others wait less than two seconds (99th percentile)."""
    seconds = sorted(record["seconds"] for record in facts["latency"])
    if (
        seconds
        and (p99 := seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]) >= STUCK_ENDPOINT_SECONDS
    ):
        yield f"healthy endpoints waited {p99:.2f} s (p99 of {len(seconds)})"


def _refused_addresses(facts: Facts) -> Iterator[str]:
    """I9: no request leaves for a refused address."""
    yield from (f"a request left for {sent['address']}" for sent in facts["sent"] if not sent["allowed"])


def _foreign_eyes(facts: Facts) -> Iterator[str]:
    """I10: nothing is shown to an organization that is no party to it."""
    for seen in facts["seen"]:
        if seen["org"] not in seen["parties"]:
            yield f"{seen['org']} saw {seen['object']} of {', '.join(seen['parties'])}"


def _broken_chains(facts: Facts) -> Iterator[str]:
    """I11: one audit row per change; sealed rows are numbered 1, 2, 3, ... and each hash covers the one before."""
    for place, count in facts.keys("audit", "aggregate", "version").items():
        if count > 1:
            yield f"{_spoken(*place)} has {count} audit rows"
    for chain, rows in _by([row for row in facts["audit"] if row.get("seq") is not None], "chain"):
        rows.sort(key=lambda row: row["seq"])
        if [row["seq"] for row in rows] != list(range(1, len(rows) + 1)):
            yield f"audit chain {chain} has a gap"
        before = GENESIS
        for row in rows:
            if row["hash"] != link(before, row["canonical"]):
                yield f"audit chain {chain} is broken at {row['seq']}"
            before = row["hash"]


def _illegal_states(facts: Facts) -> Iterator[str]:
    """I12: two acknowledged changes never left the same version, and no answer carries one never reached."""
    for place, answers in _by(facts.acknowledged, "aggregate", "version"):
        keys = sorted({str(answer["key"]) for answer in answers})
        if len(keys) > 1:
            yield f"{_spoken(*place)} was acknowledged to {' and '.join(keys)}"


def _server_errors(facts: Facts) -> Iterator[str]:
    """I13: no 5xx without a fault; with one only 503 that says when to try again."""
    first_fault = min((fault["at"] for fault in facts["fault"]), default=float("inf"))
    for answer in (*facts["ok"], *facts["fail"], *facts["info"]):
        status = answer.get("status") or 0
        if status < 500:
            continue
        if status != 503 or not answer.get("retry_after"):
            yield f"{answer['f']} was answered with {status} {answer.get('detail', '')}".rstrip()
        elif answer["at"] < first_fault:
            yield f"{answer['f']} was answered with 503 before any fault"


def _denials(facts: Facts) -> Iterator[str]:
    """I13: no error says that nothing was stored when a repetition finds that it was."""
    for key, answers in _by((*facts["ok"], *facts["info"]), "key"):
        answers.sort(key=lambda answer: answer["op"])
        done = next((n for n, answer in enumerate(answers) if answer.get("replayed")), 0)
        if done and all(DENIAL in answer.get("detail", "") for answer in answers[:done]):
            yield f"command {key} was done, but its first answer was: {DENIAL}"


CHECKS: Final[tuple[tuple[str, Callable[[Facts], Iterator[str]]], ...]] = (
    ("I1 no acknowledged command is lost", _lost_commands),
    ("I2 no phantom event", _phantoms),
    ("I3 every event reaches every group", _undelivered),
    ("I4 first deliveries are in order", _disorder),
    ("I5 every effect happens exactly once", _effects),
    ("I6 every alert and delivery exists exactly once", _alerts),
    ("I7 webhook copies are identical and signed", _webhooks),
    ("I8 a stuck endpoint delays nobody", _delayed),
    ("I9 no request leaves for a refused address", _refused_addresses),
    ("I10 nothing crosses organizations", _foreign_eyes),
    ("I11 the audit trail is dense", _broken_chains),
    ("I12 no lost update", _illegal_states),
    ("I13 no server error but 503 under a fault", _server_errors),
    ("I13 no answer denies what was done", _denials),
)


def link(before: str, canonical: str) -> str:
    """The documented hash of an audit row, in hexadecimal: 0x00, the hash before, the length in 8 bytes, the text."""
    text = canonical.encode()
    return hashlib.sha256(b"\x00" + bytes.fromhex(before) + len(text).to_bytes(8) + text).hexdigest()


def _by(records: Iterable[Record], *fields: str) -> Iterator[tuple[Any, list[Record]]]:
    """Records grouped by one field, or by a tuple of several."""

    def key(record: Record) -> tuple[str, ...]:
        return tuple(str(record[name]) for name in fields)

    for group, members in groupby(sorted(records, key=key), key):
        yield (group if len(fields) > 1 else group[0]), list(members)


def _spoken(aggregate: str, version: object) -> str:
    return f"version {version} of {aggregate}"


def _of(event: Record) -> str:
    return _spoken(event["aggregate"], event["version"])
