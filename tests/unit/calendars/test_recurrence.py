"""Recurrence rules: what RFC 5545 calls a rule is taken, everything else is refused with the part named."""

import pytest

from shared.calendars.recurrence import MEETING_FREQUENCIES, check_recurrence
from shared.pure.refusal import Refused


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU",
        "FREQ=MONTHLY;BYDAY=4WE",
        "FREQ=MONTHLY;INTERVAL=3;BYDAY=2TH",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=MONTHLY;BYMONTH=12,3,6,9;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=YEARLY;BYMONTH=2,5,8,11;BYDAY=2TH",
        "FREQ=YEARLY;BYDAY=20MO",
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;WKST=SU",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "BYDAY=MO;FREQ=DAILY",
        "freq=weekly;byday=tu",
        "FREQ=WEEKLY;COUNT=10",
        "FREQ=WEEKLY;UNTIL=20270930",
        "FREQ=WEEKLY;UNTIL=20270930T160000Z",
        "FREQ=SECONDLY;BYSECOND=60",
    ],
)
def test_a_rule_of_the_rfc_is_taken(rule: str) -> None:
    check_recurrence(rule)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("", "'' is no part"),
        ("every Tuesday", "no part"),
        ("FREQ=NONSENSE", "FREQ cannot be 'NONSENSE'"),
        ("BYDAY=MO", "needs FREQ="),
        ("FREQ=WEEKLY;", "'' is no part"),
        ("FREQ = WEEKLY", "no part"),
        ("FREQ=WEEKLY;BYDAY=TU ", "BYDAY cannot be 'TU '"),
        ("RRULE:FREQ=WEEKLY", "no part"),
        ("DTSTART:20260101\nRRULE:FREQ=DAILY", "no part"),
        ("FREQ=WEEKLY;FREQ=DAILY", "FREQ comes twice"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY cannot"),
        ("FREQ=WEEKLY;BYDAY=", "BYDAY cannot"),
        ("FREQ=WEEKLY;BYDAY=TU,", "BYDAY cannot"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY cannot"),
        ("FREQ=MONTHLY;BYDAY=MO(2)", "BYDAY cannot"),
        ("FREQ=WEEKLY;INTERVAL=0", "INTERVAL cannot"),
        ("FREQ=WEEKLY;INTERVAL=-1", "INTERVAL cannot"),
        ("FREQ=WEEKLY;COUNT=0", "COUNT cannot"),
        ("FREQ=WEEKLY;COUNT=3;UNTIL=20270101", "not both"),
        ("FREQ=WEEKLY;UNTIL=2027-01-01", "UNTIL cannot"),
        ("FREQ=WEEKLY;UNTIL=20270230", "invalid 'UNTIL'"),
        ("FREQ=WEEKLY;UNTIL=20270228T250000Z", "invalid 'UNTIL'"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH cannot"),
        ("FREQ=YEARLY;BYMONTH=-1", "BYMONTH cannot"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY cannot"),
        ("FREQ=MONTHLY;BYMONTHDAY=1٣", "BYMONTHDAY cannot"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "no meaning with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYWEEKNO=3", "no meaning with FREQ=MONTHLY"),
        ("FREQ=MONTHLY;BYYEARDAY=3", "no meaning with FREQ=MONTHLY"),
        ("FREQ=YEARLY;BYYEARDAY=367", "BYYEARDAY cannot"),
        ("FREQ=DAILY;BYHOUR=25", "BYHOUR cannot"),
        ("FREQ=YEARLY;BYEASTER=0", "no part"),
        ("FREQ=WEEKLY;WKST=XX", "WKST cannot"),
        ("FREQ=WEEKLY;WKST=2MO", "WKST cannot"),
        ("FREQ=WEEKLY;X-A=1", "no part"),
        ("FREQ=WEEKLY;BYDAY=2TU", "needs FREQ=MONTHLY or FREQ=YEARLY"),
        ("FREQ=YEARLY;BYSETPOS=1", "chooses among"),
        ("FREQ=MONTHLY;BYDAY=6MO", "no month has 6 weeks"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=1MO,6MO", "no month has 6 weeks"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "no such month has a day 30"),
        ("FREQ=YEARLY;BYMONTH=4,6;BYMONTHDAY=-31,31", "no such month has a day 31"),
    ],
)
def test_anything_else_is_refused_and_the_part_named(rule: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        check_recurrence(rule)
    assert refused.value.code == "invalid_recurrence"
    assert why in refused.value.message


def test_only_some_frequencies_may_be_allowed() -> None:
    with pytest.raises(Refused, match="needs FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"):
        check_recurrence("FREQ=HOURLY", MEETING_FREQUENCIES)
