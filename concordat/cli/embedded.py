"""`concordat run embedded`: everything on one port, with the demonstration and a clock that can be moved."""

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import typer
from rich.console import Console

from concordat.cli.serving import err, serve
from concordat.demonstration import story as demonstration
from concordat.embedded import moves
from concordat.embedded import server as embedded
from concordat.embedded.clock import ZONE, PlatformClock, clock_app, start_clock
from concordat.embedded.folder import FolderInUse, only_one
from concordat.embedded.stand_ins import webhook_sink
from shared.data import migrations
from shared.pure.refusal import Invalid, Refused

out = Console(highlight=False)


def run_embedded(
    host: str, port: int, data: Path, database_url: str | None, demo: bool, clock: str | None
) -> None:
    """Run until asked to stop. What cannot be done is said in a sentence, and ends with 1."""
    try:
        wanted = moves.moment(clock, ZONE) if clock else None
        with only_one(data, f"http://{host}:{port}"):
            _run(host, port, data, database_url, demo, wanted)
    except Invalid as invalid:
        _end(str(invalid))
    except Refused as refused:
        _end(f"{refused} For an earlier one start on a new folder: make run DATA={data}-2 CLOCK={clock}")
    except FolderInUse as used:
        _end(f"{used} Stop it, or choose another folder and port: make run DATA={data}-2 PORT={port + 1}")
    except (migrations.UnknownSchema, migrations.OldSchema) as unfit:
        # Nothing is released yet: what an earlier state of the program wrote is not carried over.
        new = f". A new folder has one: make run DATA={data}-new. Or remove the old: rm -r {data}"
        _end(f"The data cannot be used: {unfit}{'' if database_url else new}")
    out.print("Stopped. Your data are kept; start again with the same command.")


def _end(sentence: str) -> NoReturn:
    err.print(f"[red]{sentence}[/red]", soft_wrap=True)
    raise typer.Exit(1) from None


def _run(
    host: str, port: int, data: Path, database_url: str | None, demo: bool, wanted: datetime | None
) -> None:
    started, base_url = datetime.now(UTC), f"http://{host}:{port}"
    with ExitStack() as stack:
        with out.status("Starting PostgreSQL and migrating four schemas"):
            ready = stack.enter_context(embedded.platform(data, database_url, base_url))
        if demo:
            with out.status("Loading the demonstration: one charter governed end to end") as status:
                asyncio.run(demonstration.load(ready, status.update, wanted))
        clock = asyncio.run(start_clock(ready, wanted))
        services = ready.services(clock)
        charter = demonstration.state(data).get("charter_id")
        moved = PlatformClock(clock, services, data, UUID(charter) if charter else None)
        sink = webhook_sink(demonstration.webhook_secret(data), prefix="/sink")
        dispatcher = embedded.Dispatcher(
            services | {"sink": sink, "clock": clock_app(moved)},
            embedded.front_door(services),
            started=partial(moved.begin, wanted),
        )
        demonstration.welcome(out, ready, base_url, (datetime.now(UTC) - started).total_seconds())
        serve(dispatcher, host, port, list(services.values()))
