"""How the rules are shown."""

from services.notifier.alerts.domain import Priority
from shared.contracts.governance import Party, Role
from shared.web.pages import Page
from shared.web.schemas import Out


class Opening(Out):
    """The alert a rule opens. Templates name fields of the event."""

    dedup_key: str
    title: str
    audience: list[Party]
    acting: list[Party]
    ends_with_cause: bool
    roles: list[Role]
    priority: Priority
    priority_by: str | None
    priorities: dict[str, Priority]
    reopens: bool


class Rule(Out):
    """What an event type does to alerts."""

    event_type: str
    name: str
    opens: Opening | None
    resolves: list[str]


class RulePage(Page[Rule]):
    """All rules."""
