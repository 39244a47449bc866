"""Reads a history after the run and names every promise that was broken. It asks no database and trusts no code.

Observations it understands (fields besides `kind`; ids are strings):
  fault        name                                     from here on 503 is an allowed answer
  settled      waiting                                  how many events still waited when the test's patience ended
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
  subscribed, delivery     endpoint, event [, id, state, sick]
  received     id, body, valid [, endpoint]             a webhook as it arrived
  passed       endpoint, event, beside, ended, of       a healthy endpoint's webhook arrived when `ended` of the `of`
                                                        requests had ended that make up the obstacle `beside` it
  usage        process, pid, moment, rss_mb, ...        what a process held when it was `warm` and `after` the run
  sent         address, allowed                         a request that left for an address
  seen         org, object, parties                     what an answer or event showed to an organization
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.support.faults import deliveries
from tests.support.faults.facts import Facts, by
from tests.support.faults.history import Record

FLAT: Final = 1.10
SLACK: Final = {"rss_mb": 8.0, "connections": 3.0, "threads": 4.0, "fds": 8.0, "tasks": 4.0}
"""What a process may grow by although that is more than a tenth: pools breathe, and small numbers are small."""
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


def check(records: Iterable[Record]) -> list[Violation]:
    """Every violation in the history, by invariant."""
    facts = Facts(records)
    return [Violation(name, what) for name, find in CHECKS for what in find(facts)]


def shown(violations: Iterable[Violation], each: int = 5) -> str:
    """The first few of every invariant, one a line: one broken promise must not hide another."""
    count: Counter[str] = Counter()
    lines = []
    for violation in violations:
        count[violation.invariant] += 1
        if count[violation.invariant] <= each:
            lines.append(str(violation))
    return "\n".join([f"{sum(count.values())} violations", *lines])


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
            yield f"{answer['f']} {_as_words(*place)} was acknowledged but has no {', no '.join(missing)}"


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
    """I3: every outbox row reaches the bus and each group."""
    logged, received = facts.keys("logged", "event"), facts.keys("inbox", "group", "event")
    for event in facts["outbox"]:
        if not event["published"] or (event["event"],) not in logged:
            yield f"event {event['event']} of {_of(event)} never reached the bus"
        for group in facts["group"]:
            if (group["name"], event["event"]) not in received:
                yield f"event {event['event']} of {_of(event)} never reached {group['name']}"
    for settled in facts["settled"]:
        if settled["waiting"]:
            yield f"{settled['waiting']} events still waited when nothing hindered them any more"


def _disorder(facts: Facts) -> Iterator[str]:
    """I4: the first deliveries of an aggregate are versions 1, 2, 3, ..., on one partition."""
    for aggregate, events in by(facts["logged"], "aggregate"):
        if len({event["partition"] for event in events}) > 1:
            yield f"{aggregate} is on several partitions"
        events.sort(key=lambda event: event["offset"])
        first = list(dict.fromkeys(event["version"] for event in events))
        if first != list(range(1, len(first) + 1)):
            yield f"{aggregate} was first delivered as versions {first}"
    for (group, aggregate), effects in by(facts["effect"], "group", "aggregate"):
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
    for key, answers in by(facts.acknowledged, "key"):
        if len({(answer["aggregate"], answer["version"]) for answer in answers}) > 1:
            yield f"command {key} was acknowledged with different results"


def _broken_chains(facts: Facts) -> Iterator[str]:
    """I11: one audit row per change; sealed rows are numbered 1, 2, 3, ... and each hash covers the one before."""
    for place, count in facts.keys("audit", "aggregate", "version").items():
        if count > 1:
            yield f"{_as_words(*place)} has {count} audit rows"
    for chain, rows in by([row for row in facts["audit"] if row.get("seq") is not None], "chain"):
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
    for place, answers in by(facts.acknowledged, "aggregate", "version"):
        keys = sorted({str(answer["key"]) for answer in answers})
        if len(keys) > 1:
            yield f"{_as_words(*place)} was acknowledged to {' and '.join(keys)}"


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
    for key, answers in by((*facts["ok"], *facts["info"]), "key"):
        answers.sort(key=lambda answer: answer["op"])
        done = next((n for n, answer in enumerate(answers) if answer.get("replayed")), 0)
        if done and all(DENIAL in answer.get("detail", "") for answer in answers[:done]):
            yield f"command {key} was done, but its first answer was: {DENIAL}"


def _growth(facts: Facts) -> Iterator[str]:
    """I14: after the run a process holds what it held when it was warm, give or take a tenth."""
    for process, measured in by(facts["usage"], "process"):
        warm, after = ([m for m in measured if m["moment"] == moment] for moment in ("warm", "after"))
        if not warm or not after or warm[0]["pid"] != after[-1]["pid"]:
            yield f"{process} did not live through the run, so nothing can be compared"
            continue
        for what, slack in SLACK.items():
            before, now = warm[0][what], after[-1][what]
            if now > max(before * FLAT, before + slack):
                yield f"{process} grew from {before:g} to {now:g} {what}"


CHECKS: Final[tuple[tuple[str, Callable[[Facts], Iterator[str]]], ...]] = (
    ("I1 no acknowledged command is lost", _lost_commands),
    ("I2 no phantom event", _phantoms),
    ("I3 every event reaches every group", _undelivered),
    ("I4 first deliveries are in order", _disorder),
    ("I5 every effect happens exactly once", _effects),
    ("I6 every alert and delivery exists exactly once", deliveries.alerts),
    ("I7 webhook copies are identical and signed", deliveries.webhooks),
    ("I8 a stuck endpoint delays nobody", deliveries.delayed),
    ("I9 no request leaves for a refused address", deliveries.refused_addresses),
    ("I10 nothing crosses organizations", deliveries.foreign_eyes),
    ("I11 the audit trail is dense", _broken_chains),
    ("I12 no lost update", _illegal_states),
    ("I13 no server error but 503 under a fault", _server_errors),
    ("I13 no answer denies what was done", _denials),
    ("I14 memory, connections and tasks stay flat", _growth),
)


def link(before: str, canonical: str) -> str:
    """The documented hash of an audit row, in hexadecimal: 0x00, the hash before, the length in 8 bytes, the text."""
    text = canonical.encode()
    return hashlib.sha256(b"\x00" + bytes.fromhex(before) + len(text).to_bytes(8) + text).hexdigest()


def _as_words(aggregate: str, version: object) -> str:
    return f"version {version} of {aggregate}"


def _of(event: Record) -> str:
    return _as_words(event["aggregate"], event["version"])
