"""What every service publishes about its own audit trail: signed checkpoints, each for the parties of one charter."""

from typing import ClassVar
from uuid import UUID

from shared.contracts.base import TYPE_PREFIX, Event, Open, Visibility

TOPIC = "concordat.audit"


class AuditCheckpointed(Event):
    """An audit chain was signed up to row `seq`. Keep it: it convicts a service that rewrites or drops rows.

    `statement` is the signed text, `signature` is base64 over its UTF-8 bytes by the key `key_id` names
    (`GET /{service}/v1/audit/keys`). `chain` is the charter's id, the id of the
    organization whose own affairs it covers, or the nil UUID for the platform's.
    """

    TYPE: ClassVar[str] = TYPE_PREFIX + "audit.checkpointed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "audit_checkpoint"

    checkpoint_id: UUID
    service: str
    chain: UUID
    visibility: Open[Visibility]
    seq: int
    hash: str
    root: str
    statement: str
    signature: str
    key_id: str


EVENTS: tuple[type[Event], ...] = (AuditCheckpointed,)
