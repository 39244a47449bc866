"""One vector worked out by hand for each aggregation, and for each way it measures.

Tests run over all of them and refuse to pass while a rule has none: a new aggregation adds its own here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from services.sla.metrics.domain.metric import Rule

RULES: tuple[type[Rule], ...] = get_args(Rule)


@dataclass(frozen=True, kw_only=True)
class Vector:
    """October 2026 in New York: a metric and observations as the API takes them, and what they come to."""

    name: str
    rule: dict[str, Any]
    rows: list[dict[str, Any]]
    metric: dict[str, Any] = field(default_factory=dict)
    exact: str
    numerator: str
    denominator: str
    n: int
    status: str
    display: str
    without: str
    method: str

    @property
    def form(self) -> dict[str, Any]:
        usual = {"key": "M-01", "name": self.name, "service": "payroll", "expected": "95"}
        return usual | {"rule": self.rule, "zone": "America/New_York"} | self.metric


def _rows(kind: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    given = {"source": "vector", "kind": kind, "service": "payroll"}
    return [given | {"source_id": f"{kind}-{number}"} | row for number, row in enumerate(rows)]


def _daily_checks() -> Iterator[dict[str, Any]]:
    for day in range(1, 32):
        yield {
            "occurred_at": f"2026-10-{day:02}T12:00:00Z",
            "good": day not in (4, 5),
            "value": str(100 * day),
        }


VECTORS = [
    Vector(
        name="availability of checks in open hours",
        # 31 daily checks, 21 of them on business days: the 12th is a holiday, and the bad one of the 4th a Sunday's.
        rule={
            "aggregation": "availability",
            "basis": "checks",
            "agreed_time": "business",
            "expects": {"per_day": 1},
        },
        rows=_rows("probe", list(_daily_checks())),
        metric={"minimum": "90"},
        exact="2000/21",
        numerator="20",
        denominator="21",
        n=21,
        status="met",
        display="95.24 %",
        without="no_data",
        method="Availability: good checks of all checks in the calendar's open time less approved maintenance",
    ),
    Vector(
        name="availability by outages",
        # 44,640 minutes less 240 of maintenance; 32 minutes down, 10 of them in the maintenance.
        rule={"aggregation": "availability", "basis": "outages"},
        rows=[
            *_rows("coverage", [{"occurred_at": "2026-10-01T04:00:00Z", "ended_at": "2026-11-01T04:00:00Z"}]),
            *_rows(
                "maintenance",
                [
                    {
                        "occurred_at": "2026-10-10T02:00:00Z",
                        "ended_at": "2026-10-10T06:00:00Z",
                        "attributes": {"approved_at": "2026-09-20T12:00:00Z"},
                    }
                ],
            ),
            *_rows("outage", [{"occurred_at": "2026-10-10T05:50:00Z", "ended_at": "2026-10-10T06:22:00Z"}]),
        ],
        metric={"expected": "99.99", "minimum": "99.9"},
        exact="22189/222",
        numerator="44378",
        denominator="44400",
        n=2,
        status="missed_expected",
        display="99.95 %",
        without="no_data",
        method="Availability: minutes without outage of all time less approved maintenance",
    ),
    Vector(
        name="percentile by nearest rank",
        # 29 good checks have values 100 to 3100 but 400 and 500; rank ceil(0.9 * 29) is 27: 2900.
        rule={"aggregation": "percentile", "percentile": "90", "expects": {"per_day": 1}},
        rows=_rows("probe", list(_daily_checks())),
        metric={"unit": "ms", "comparator": "lte", "expected": "2500", "minimum": "2800"},
        exact="2900",
        numerator="2900",
        denominator="1",
        n=29,
        status="missed_minimum",
        display="2900.00 ms",
        without="no_data",
        method="90th percentile (nearest rank) of successful observations",
    ),
    Vector(
        name="finished within a limit",
        # Eight hours to the minute are in time; one item is late, one open and overdue, one not due yet.
        rule={"aggregation": "within_duration_ratio", "clock": "business", "unit": "hours", "limit": 8},
        rows=_rows(
            "event",
            [
                {"occurred_at": "2026-10-05T13:00:00Z", "ended_at": "2026-10-05T21:00:00Z"},
                {"occurred_at": "2026-10-05T13:00:00Z", "ended_at": "2026-10-07T13:00:00Z"},
                {"occurred_at": "2026-10-07T13:00:00Z"},
                {"occurred_at": "2026-10-30T20:00:00Z"},
            ],
        ),
        metric={"expected": "90", "minimum": "30"},
        exact="100/3",
        numerator="1",
        denominator="3",
        n=3,
        status="missed_expected",
        display="33.33 %",
        without="not_applicable",
        method="Share of items finished within 8 business hours. Open overdue items count as failures.",
    ),
]
