"""When a Kafka client that looks alive counts as stuck."""

from shared.messaging.kafka.watchdog import Watchdog

PLACE = ("concordat.charter", 3)


def watch(*sights: tuple[float, dict[tuple[str, int], tuple[int, int]] | None]) -> list[str | None]:
    """The verdicts of a watchdog that looks at the given times, while the client keeps answering."""
    dog = Watchdog(0.0)
    verdicts = []
    for now, places in sights:
        dog.pulled_at = now
        verdicts.append(dog.verdict(now, places))
    return verdicts


def test_a_client_that_stops_answering_is_stuck_after_half_a_minute() -> None:
    dog = Watchdog(0.0)
    assert dog.verdict(30.0, {}) is None
    assert "not answered" in (dog.verdict(31.0, {}) or "")


def test_a_partition_with_unread_messages_that_stands_still_is_stuck_after_two_minutes() -> None:
    *before, after = watch(*((t, {PLACE: (5, 9)}) for t in (10.0, 70.0, 130.0, 131.0)))
    assert before == [None, None, None]
    assert "stood at 5 of 9" in (after or "")


def test_a_partition_that_moves_is_fine_however_far_behind() -> None:
    assert not any(watch(*((t * 100.0, {PLACE: (t, 1000)}) for t in range(10))))


def test_a_partition_with_nothing_to_read_may_stand_still() -> None:
    assert not any(watch(*((t * 100.0, {PLACE: (9, 9)}) for t in range(10)), (1001.0, {PLACE: (9, 10)})))


def test_a_partition_that_was_busy_in_between_starts_afresh() -> None:
    assert not any(watch((0.0, {PLACE: (5, 9)}), (100.0, {}), (200.0, {PLACE: (5, 9)})))


def test_brokers_that_stay_silent_make_it_unreachable_and_then_stuck() -> None:
    dog = Watchdog(0.0)
    verdicts = []
    for now in (10.0, 100.0, 131.0):
        dog.pulled_at = now
        verdicts.append(dog.verdict(now, None))
        assert not dog.reachable
    assert verdicts[:2] == [None, None]
    assert "no broker" in (verdicts[2] or "")
