"""Requests and responses about the bodies webhooks carry."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator
from pydantic.json_schema import SkipJsonSchema

from services.notifier.alerts.domain import Priority
from services.notifier.channels.webhook.domain.templates import (
    Template,
    TemplateOptions,
    Updates,
    options_of,
    stored_options,
)
from shared.web.pages import Page
from shared.web.schemas import In, Out, Text


class TemplateOptionsIn(In):
    """What the chosen template needs; the others' options are ignored."""

    project_key: (
        Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{1,31}$")] | SkipJsonSchema[None]
    ) = None
    issue_type: Text = "Task"
    labels: Annotated[tuple[Text, ...], Field(max_length=20)] = ()
    category: Text = "inquiry"
    assignment_group: Text | SkipJsonSchema[None] = None
    priorities: dict[Priority, Text] = Field(default_factory=dict)

    def as_domain(self) -> TemplateOptions:
        return TemplateOptions(**self.model_dump())


class TemplateOptionsOut(Out):
    """The options as stored."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, stored: object) -> object:
        """What was stored before an option existed has its default."""
        return stored_options(options_of(stored)) if isinstance(stored, dict) else stored

    project_key: str | None
    issue_type: str
    labels: list[str]
    category: str
    assignment_group: str | None
    priorities: dict[Priority, str]


class TemplateInfo(Out):
    """A body a ticketing system can be sent, and which changes of an alert it is sent."""

    name: Template
    content_type: str
    told: Updates


class TemplatePage(Page[TemplateInfo]):
    """All templates."""


class RenderRequest(In):
    """A preview: of a sample, or of an alert the caller can see."""

    template_options: TemplateOptionsIn = TemplateOptionsIn()
    alert_id: UUID | SkipJsonSchema[None] = None


class Rendered(Out):
    """What would be sent."""

    content_type: str
    body: dict[str, Any]
