"""`concordat`: the one command that runs, migrates, documents, measures and explains everything."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from concordat.cli import clock as moving
from concordat.cli import operations as operator
from concordat.cli.replay import replay_events
from concordat.cli.serving import refuse_taken_port, serve
from services.registry import SERVICES, create_app, settings_of, upgrade
from shared.contracts import TOPICS
from shared.data import migrations

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Operations-and-maintenance governance between a customer agency and its shared-service provider.",
)
operator.bus.command("replay")(replay_events)
app.add_typer(operator.dead_letters, name="dead-letters")
app.add_typer(operator.due, name="due")
app.add_typer(operator.bus, name="bus")
app.add_typer(moving.clock, name="clock")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Folder = Annotated[Path, typer.Option("--data", envvar="CONCORDAT_DATA", help="Folder of the embedded mode.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]


EMBEDDED = "embedded"
Program = Annotated[str, operator.one_of(*SERVICES, EMBEDDED)]


class StandIn(StrEnum):
    """Programs that stand in for systems an agency brings."""

    identity_provider = "identity-provider"
    webhook_sink = "webhook-sink"


@app.command()
def run(
    program: Program,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data: Folder = Path(".data"),
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="DATABASE_URL", help="Embedded mode: use this PostgreSQL (a role that may create roles)."
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option(help="Embedded mode: load the demonstration into an empty database.")
    ] = True,
    clock: Annotated[
        str | None,
        typer.Option(
            help="Embedded mode: where the clock begins, for example 2026-11-16T09:00 in Washington."
        ),
    ] = None,
) -> None:
    """Run one service, or all four in one process (`embedded`)."""
    refuse_taken_port(host, port)
    if program == EMBEDDED:
        from concordat.cli.embedded import run_embedded

        run_embedded(host, port, data, database_url, demo, clock)
        return
    if clock is not None:
        raise typer.BadParameter("the clock can be moved in the embedded mode only", param_hint="--clock")
    settings = settings_of(program)()
    service = create_app(program, settings)
    serve(service, host, port, [service])


@app.command()
def migrate() -> None:
    """Create roles and schemas where missing, and bring them to the newest revision.

    Reads CONCORDAT_ADMIN_URL (a role that may create roles), `<SERVICE>_DATABASE_URL`,
    `<SERVICE>_MIGRATION_URL`, CONCORDAT_BUS_DATABASE_URL and CONCORDAT_ARCHIVE_DATABASE_URL; the passwords in those URLs become the
    roles' passwords. CONCORDAT_SERVICES names some services instead of all.
    """
    from concordat.cli.deployment import Deployment

    deployment = Deployment.from_environment(os.environ)
    asyncio.run(deployment.await_database())
    asyncio.run(migrations.provision(deployment.admin_url, deployment.passwords, deployment.services))
    for service in deployment.services:
        try:
            upgrade(service, deployment.migration_urls[service])
        except migrations.UnknownSchema as unknown:
            err.print(f"[red]{service}[/red]: {unknown}")
            raise typer.Exit(1) from None
        out.print(f"{service}: at the newest revision")


@app.command()
def topics(
    bootstrap: Annotated[str, typer.Option(envvar="CONCORDAT_KAFKA_BOOTSTRAP")],
    partitions: Annotated[int, typer.Option(min=1)] = 12,
    replication: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Create the Kafka topics that are missing."""
    from shared.messaging.kafka.bus import ensure_topics

    asyncio.run(ensure_topics(bootstrap, TOPICS, partitions=partitions, replication=replication))
    out.print(f"topics exist: {', '.join(TOPICS)}")


@app.command()
def documents(
    check: Annotated[bool, typer.Option(help="Only compare; exit 1 when something is out of date.")] = False,
) -> None:
    """Write the generated documents: OpenAPI, AsyncAPI, event schemas, the map."""
    from concordat import reference as generated

    if not check:
        generated.write(generated.ROOT)
        return
    stale = generated.check(generated.ROOT)
    for path in stale:
        err.print(f"out of date: {path}")
    if stale:
        err.print("Run `make documents` and commit what it writes.")
        raise typer.Exit(1)


@app.command()
def token(
    subject: Annotated[
        str, typer.Argument(help="For example des.om_team; see the list `run embedded` prints.")
    ],
    data: Folder = Path(".data"),
) -> None:
    """Print a bearer token of the embedded mode's development issuer."""
    from concordat.embedded.issuer import DevelopmentIssuer

    print(DevelopmentIssuer.in_folder(data).token(subject, datetime.now(UTC)))


@app.command()
def ingest(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV file with a header row.")],
    mapping: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="TOML: which column is what.")],
    sla: Annotated[str, typer.Option(help="Id of the SLA the observations belong to.")],
    url: Annotated[str, typer.Option(envvar="CONCORDAT_URL")] = "http://127.0.0.1:8000",
    bearer: Annotated[str, typer.Option("--token", envvar="CONCORDAT_TOKEN", help="Bearer token.")] = "",
    batch: Annotated[int, typer.Option(min=1, max=5000, help="Rows a request carries.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit 1 when any row was rejected.")] = False,
) -> None:
    """Load measurements from a CSV through a mapping. Repeating it changes nothing."""
    from concordat.cli.client import NotDone
    from concordat.cli.ingest import load_file

    try:
        summary = load_file(file, mapping, sla_id=sla, url=url, token=bearer, batch=batch, console=err)
    except NotDone as refused:
        err.print(str(refused), style="red", markup=False)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(summary.as_dict()))
    else:
        summary.show(out)
    if strict and summary.rejected:
        raise typer.Exit(1)


@app.command()
def verify(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="What /v1/audit/export gave you.")
    ],
    checkpoints: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Checkpoints the other party kept.")
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="PEM of a trusted key; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Check an audit export offline. Exits 0: intact and complete; 1: it is not; 2: it cannot be judged."""
    from concordat.cli.verify import run as judge

    raise typer.Exit(judge(file, checkpoints, key or (), as_json=as_json, out=out, err=err))


@app.command("stand-in")
def stand_in(which: StandIn, host: Host = "127.0.0.1", port: Port = 8090) -> None:
    """Run a mock identity provider or a webhook sink, for trying things out. Never in production."""
    from concordat.embedded import stand_ins

    serve(stand_ins.named(which.value, os.environ), host, port)


def main() -> None:
    """The console script; a refused setting is explained without a traceback."""
    from pydantic import ValidationError

    try:
        app()
    except ValidationError as error:
        for fault in error.errors():
            where = ".".join(str(part) for part in fault["loc"]) or "settings"
            err.print(f"[red]{where}[/red]: {fault['msg']}")
        sys.exit(2)


if __name__ == "__main__":
    main()
