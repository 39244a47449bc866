"""One history: what an act leaves behind, and the timeline everybody may read."""

import json
from uuid import UUID

from sqlalchemy import text

from shared.contracts.changes import ChangeSubmitted, ChangeWithdrawn
from shared.data.history import Act, Entry, record, timeline
from shared.data.session import Identity, load_for_update
from shared.web.authz import SYSTEM
from tests.support.harness import RunningService
from tests.support.toy_service import Note


async def make(toy: RunningService, visibility: str = "shared") -> str:
    form = {"charter_id": str(toy.world.charter_id), "title": "t", "visibility": visibility}
    made = await toy.post("customer.om_team", "/changes/v1/notes", form)
    return str(made.json()["id"])


async def test_every_act_leaves_one_audit_row_and_its_event_if_it_has_one(toy: RunningService) -> None:
    note = await make(toy)
    await strike_out(toy, note)
    async with toy.kernel.database.system() as session:
        audit = await session.execute(
            text("SELECT action, object_version, canonical FROM audit WHERE object_id = :id ORDER BY id"),
            {"id": note},
        )
        rows = audit.all()
    assert [(r.action, r.object_version) for r in rows] == [
        ("note.write", 1),
        ("note.strike_out", 2),
        ("note.withdraw", 3),
    ]
    actor = json.loads(rows[0].canonical)["actor"]
    assert (actor["subject"], actor["kind"]) == ("customer.om_team", "member")
    published = [*await toy.envelopes(ChangeSubmitted), *await toy.envelopes(ChangeWithdrawn)]
    assert [event["sequence"] for event in published if event["subject"] == note] == [1, 3]


async def test_the_timeline_of_a_resource_is_read_from_its_audit_rows(toy: RunningService) -> None:
    note = await make(toy)
    recorded = await strike_out(toy, note)
    first, *others = await timeline_for(toy, "provider.om_team", note)
    assert (first.version, first.at, first.action, first.detail) == (1, toy.clock(), "note.write", {})
    assert (first.actor_name, first.actor_id) == ("Customer Om Team", toy.world.member("customer.om_team"))
    assert others == recorded
    assert [(line.version, line.action, line.actor_name, line.actor_id, line.detail) for line in others] == [
        (2, "note.strike_out", "system", None, {"note": "no longer wanted"}),
        (3, "note.withdraw", "system", None, {}),
    ]


async def strike_out(toy: RunningService, note: str) -> list[Entry]:
    """Two acts at once, the first of which concerns nobody else."""
    async with toy.kernel.database.system() as session:
        row = await load_for_update(session, Note, UUID(note), None)
        event = ChangeWithdrawn(change_id=row.id, number="N", title=row.title, reason="")
        acts = Act("note.strike_out", detail={"note": "no longer wanted"}), Act("note.withdraw", event)
        return await record(session, row, *acts, by=SYSTEM, now=toy.clock())


async def test_a_timeline_shows_everybody_what_the_resource_itself_does(toy: RunningService) -> None:
    shared = await make(toy)
    private = await make(toy, visibility="customer")
    seen = {
        who: [len(await timeline_for(toy, who, note)) for note in (shared, private)]
        for who in ("customer.om_team", "provider.om_team", "observer.observer", "other.om_team")
    }
    assert seen == {
        "customer.om_team": [1, 1],
        "provider.om_team": [1, 0],
        "observer.observer": [1, 0],
        "other.om_team": [0, 0],
    }


async def timeline_for(toy: RunningService, who: str, note: str) -> list[Entry]:
    identity = Identity("https://concordat.invalid/development", who)
    async with toy.kernel.database.acting_as(identity) as (session, _):
        return await timeline(session, UUID(note))
