"""`concordat bus replay`: fills what a service keeps of others' events anew from the archives."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer
from sqlalchemy.exc import SQLAlchemyError

from concordat.cli.operations import Service, err, out
from services.registry import SERVICES, create_app, settings_of
from shared.data import migrations
from shared.data.session import Database
from shared.messaging.archives import Archive, ArchiveUnreadable
from shared.messaging.connection import LOST
from shared.messaging.inbox import Inbox
from shared.messaging.replay import (
    TIME_LIMITS,
    NotReplayable,
    Plan,
    ReplayFailed,
    Report,
    Survey,
    plan_replay,
    replay,
    survey,
)
from shared.runtime.settings import SHARED_PREFIX, KernelSettings

ARCHIVE_URL: Final = "ARCHIVE_DATABASE_URL"
STEPS: Final = 20
"""In how many lines a replay says how far it is."""


@dataclass(frozen=True)
class Place:
    """Where a consumer and the archives are."""

    settings: KernelSettings
    archives: Sequence[Archive]


@dataclass(frozen=True)
class Choice:
    """What of a consumer is asked for: all, or what learns from some types; of one charter, if one is named."""

    types: Sequence[str]
    charter_id: UUID | None
    dry_run: bool


def replay_events(
    service: Service,
    type_: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Only what learns from this event type, such as org.concordat.member.changed.v1; repeatable.",
        ),
    ] = None,
    charter: Annotated[UUID | None, typer.Option(help="Only the rows of the charter with this id.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be emptied and read.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of an embedded installation; it may be running.")
    ] = None,
) -> None:
    """Fill what SERVICE keeps of others' events anew, from the archives of all services.

    For a service or a handler that is new, or a table that is wrong. The service may run: its live events wait, and who
    reads sees the former rows until all is done. What acts on events (alerts, answers) is never repeated. A replay that
    breaks off has changed nothing; start it again.

    Reads the service's settings, and per archive <SERVICE>_ARCHIVE_DATABASE_URL or else CONCORDAT_ARCHIVE_DATABASE_URL
    (the role concordat_archive); with --data, everything from the folder.
    """
    with _explained(), _place(service, data) as place:
        consumer = create_app(service, place.settings).state.kernel.consumer
        if consumer is None:
            raise NotReplayable(f"{service} follows no other service: there is nothing to replay.")
        asyncio.run(_run(service, consumer.inbox, place, Choice(type_ or (), charter, dry_run)))


async def _run(service: str, inbox: Inbox, place: Place, choice: Choice) -> None:
    url = place.settings.database_url.get_secret_value()
    database = Database(url, service, pool_size=1, time_limits=TIME_LIMITS, command_seconds=None)
    try:
        async with database.system() as session:
            plan = await plan_replay(session, inbox, choice.types, choice.charter_id)
            result = await survey(session, plan, place.archives)
            _show(inbox, plan, result, place)
            if choice.dry_run:
                out.print("Nothing was changed.")
                return
            report = await replay(session, inbox, plan, place.archives, _progress())
    finally:
        await database.close()
    _conclude(service, inbox, plan, report)


def _show(inbox: Inbox, plan: Plan, survey: Survey, place: Place) -> None:
    """What is emptied and read, by projection and type; and what is left as it is."""
    only = f", charter {plan.charter_id} only" if plan.charter_id else ""
    _say(f"{inbox.consumer}, from the archives of {', '.join(a.service for a in place.archives)}{only}")
    for projection in plan.projections:
        tables = ", ".join(f"{table} ({survey.rows[table]:,} rows)" for table in projection.tables)
        _say(f"  {projection.name}: empties {tables}")
        for type_ in sorted(projection.types):
            _say(f"    reads {survey.events.get(type_, 0):,} {type_}")
    for name, why in plan.left_alone.items():
        _say(f"  {name}: left as it is; {why}")


def _progress() -> Callable[[int, int], None]:
    """Says how far it is, in about `STEPS` lines however many events there are."""
    shown = 0

    def show(done: int, total: int) -> None:
        nonlocal shown
        step = done * STEPS // max(total, 1)
        if step > shown:
            shown = step
            _say(f"  {done:,} of {total:,} events ({done * 100 // total} %)")

    return show


def _conclude(service: str, inbox: Inbox, plan: Plan, report: Report) -> None:
    for projection in plan.projections:
        tables = (f"{t} {report.removed[t]:,} -> {report.rows[t]:,} rows" for t in projection.tables)
        _say(f"  {projection.name}: {', '.join(tables)}")
    _say(f"{sum(report.applied.values()):,} events applied; {inbox.consumer} goes on with its live events.")
    if report.set_aside:
        see = f"concordat dead-letters list {service}"
        _say(f"{report.set_aside:,} events stay set aside, with what follows them: see `{see}`.")


def _say(line: str) -> None:
    out.print(line, soft_wrap=True, markup=False)


@contextmanager
def _place(service: str, data: Path | None) -> Iterator[Place]:
    if data is None:
        yield Place(settings_of(service)(), _archives(os.environ))
        return
    if not (data / "secrets.json").exists():
        raise NotReplayable(f"There is no embedded installation in {data}.")
    from concordat.embedded.server import platform

    with platform(data, os.environ.get("DATABASE_URL"), "http://127.0.0.1:8000") as ready:
        url = ready.url(migrations.ARCHIVE_ROLE)
        yield Place(ready.settings(service), [Archive(each, url) for each in SERVICES])


def _archives(environment: Mapping[str, str]) -> list[Archive]:
    """Every service publishes, so every archive may hold what is wanted."""
    urls = {each: _archive_url(environment, each) for each in SERVICES}
    if missing := [each for each, url in urls.items() if not url]:
        names = ", ".join(f"{each.upper()}_{ARCHIVE_URL}" for each in missing)
        raise NotReplayable(
            f"Set {SHARED_PREFIX}{ARCHIVE_URL} to the postgresql:// URL of the role {migrations.ARCHIVE_ROLE} "
            f"(or, where services have databases of their own: {names})."
        )
    return [Archive(each, url) for each, url in urls.items()]


def _archive_url(environment: Mapping[str, str], service: str) -> str:
    of_all = environment.get(SHARED_PREFIX + ARCHIVE_URL, "")
    return environment.get(f"{service.upper()}_{ARCHIVE_URL}", of_all)


@contextmanager
def _explained() -> Iterator[None]:
    """Whatever ends a replay ends it in a sentence, and with 1."""
    try:
        yield
    except NotReplayable as refused:
        reason = str(refused)
    except (ReplayFailed, ArchiveUnreadable) as failed:
        reason = f"{str(failed)[:1].upper()}{str(failed)[1:]} Nothing was changed."
    except (SQLAlchemyError, *LOST) as lost:
        reason = f"The replay broke off and changed nothing ({type(lost).__name__}: {lost}). Start it again."
    except (migrations.UnknownSchema, migrations.OldSchema) as unfit:
        reason = str(unfit)
    else:
        return
    err.print(reason, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)
