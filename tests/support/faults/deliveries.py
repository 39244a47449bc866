"""The checker's part about alerts and webhooks: invariants I6 to I10."""

from collections.abc import Iterator

from tests.support.faults.facts import Facts, by


def alerts(facts: Facts) -> Iterator[str]:
    """I6: one alert per rule and breach window, one delivery per endpoint and event."""
    for kind, wanted, fields in (
        ("alert", "breach", ("rule", "window")),
        ("delivery", "subscribed", ("endpoint", "event")),
    ):
        keys = facts.keys(kind, *fields)
        yield from (f"{kind} {'/'.join(map(str, k))} exists {n} times" for k, n in keys.items() if n > 1)
        due = facts.keys(wanted, *fields).keys()
        yield from (f"{kind} {'/'.join(map(str, k))} is missing" for k in sorted(due - keys.keys()))
        yield from (f"{kind} {'/'.join(map(str, k))} has no cause" for k in sorted(keys.keys() - due))


def webhooks(facts: Facts) -> Iterator[str]:
    """I7: each delivery arrives at its endpoint, all its copies byte for byte the same, each validly signed."""
    home = {delivery["id"]: delivery["endpoint"] for delivery in facts["delivery"] if "id" in delivery}
    for webhook, copies in by(facts["received"], "id"):
        if len({copy["body"] for copy in copies}) > 1:
            yield f"webhook {webhook} arrived with different bodies"
        if not all(copy["valid"] for copy in copies):
            yield f"webhook {webhook} arrived with a signature that does not verify"
        if webhook not in home:
            yield f"webhook {webhook} arrived but is no delivery"
        elif strays := {copy["endpoint"] for copy in copies if "endpoint" in copy} - {home[webhook]}:
            yield f"webhook {webhook} of {home[webhook]} arrived at {', '.join(sorted(strays))}"
    arrived = facts.keys("received", "id")
    for delivery in facts["delivery"]:
        state = delivery.get("state")
        if state == "done" and (delivery["id"],) not in arrived:
            yield f"delivery {delivery['id']} is done but never arrived"
        if state not in (None, "done") and not delivery.get("sick"):
            yield f"delivery {delivery['id']} is {state}, and its endpoint is well"


def delayed(facts: Facts) -> Iterator[str]:
    """I8: what is due elsewhere passes an endpoint that is stuck or has a long backlog.

    An obstacle is made of requests that cannot all have ended soon: receivers that never answer, or thousands of slow
    answers. A webhook that waited for it arrives when they have ended; one that did not arrives before.
    """
    for passed in facts["passed"]:
        if passed["ended"] >= passed["of"]:
            yield f"{passed['endpoint']} got {passed['event']} only after {passed['beside']} had given way"


def refused_addresses(facts: Facts) -> Iterator[str]:
    """I9: no request leaves for a refused address."""
    yield from (f"a request left for {sent['address']}" for sent in facts["sent"] if not sent["allowed"])


def foreign_eyes(facts: Facts) -> Iterator[str]:
    """I10: nothing is shown to an organization that is no party to it."""
    for seen in facts["seen"]:
        if seen["org"] not in seen["parties"]:
            yield f"{seen['org']} saw {seen['object']} of {', '.join(seen['parties'])}"
