"""Commands for the operator of a service: dead letters and deadlines over the API, and reading the bus again."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from concordat.cli.client import Client, NotDone
from services.registry import SERVICES, settings_of
from shared.messaging.open import open_bus

dead_letters = typer.Typer(
    no_args_is_help=True, help="Messages a service set aside: list, show, replay, discard."
)
due = typer.Typer(
    no_args_is_help=True, help="Deadlines and reminders that failed when they were due: list, retry."
)
bus = typer.Typer(
    no_args_is_help=True,
    help="What a service hears from others: read a topic again, or learn anew from the archives.",
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def one_of(*names: str) -> Any:
    """An argument that takes one of these names and says which there are."""

    def known(value: str) -> str:
        if value not in names:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(names)}")
        return value

    return typer.Argument(callback=known, help=f"One of {', '.join(names)}.")


Service = Annotated[str, one_of(*SERVICES)]
Url = Annotated[str, typer.Option(envvar="CONCORDAT_URL", help="Where the service answers.")]
Token = Annotated[
    str, typer.Option("--token", envvar="CONCORDAT_TOKEN", help="A platform administrator's token.")
]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")]
Aggregate = Annotated[str | None, typer.Option(help="Every waiting letter of this aggregate.")]
Kind = Annotated[str | None, typer.Option(help="Only of this kind, for example report.publication.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LOCAL = "http://127.0.0.1:8000"


def call(
    url: str, token: str, method: str, path: str, *, timeout: float | None = 30, **request: Any
) -> dict[str, Any]:
    """One request; what went wrong is explained and ends the command with 1."""
    try:
        with Client(url, token, timeout) as client:
            return client.call(method, path, **request)
    except NotDone as refused:
        err.print(str(refused), style="red", markup=False)
        raise typer.Exit(1) from None


def _selection(ids: list[str] | None, aggregate: str | None) -> dict[str, Any]:
    if not ids and not aggregate:
        raise typer.BadParameter("name ids, or --aggregate")
    return {"ids": ids or []} | ({"aggregate_id": aggregate} if aggregate else {})


@dead_letters.command("list")
def list_letters(
    service: Service,
    state: Annotated[str, typer.Option(help="new, replayed or discarded")] = "new",
    aggregate: Aggregate = None,
    as_json: AsJson = False,
    url: Url = LOCAL,
    token: Token = "",
) -> None:
    """What waits, in the order it was set aside."""
    query = {"state": state, "limit": 1000} | ({"aggregate_id": aggregate} if aggregate else {})
    page = call(url, token, "GET", f"/{service}/v1/dead_letters", params=query)
    if as_json:
        out.print_json(json.dumps(page))
        return
    table = Table("id", "event", "aggregate", "version", "class", "tries", "error")
    for letter in page["items"]:
        columns = ("id", "event_type", "aggregate_id", "aggregate_version", "error_class", "tries", "error")
        table.add_row(*(str(letter[column] or "")[:80] for column in columns))
    out.print(table)
    out.print(f"{len(page['items'])} letters" + (", and more" if page["next_cursor"] else ""))


@dead_letters.command("show")
def show_letter(service: Service, letter: str, url: Url = LOCAL, token: Token = "") -> None:
    """Where one message belongs and why it was set aside; its content stays with the parties."""
    out.print_json(json.dumps(call(url, token, "GET", f"/{service}/v1/dead_letters/{letter}")))


@dead_letters.command("replay")
def replay_letters(
    service: Service,
    ids: Ids = None,
    aggregate: Aggregate = None,
    dry_run: Annotated[bool, typer.Option(help="Try it and roll back.")] = False,
    url: Url = LOCAL,
    token: Token = "",
) -> None:
    """Apply letters again, each aggregate in order. Exits 1 when any failed or is blocked."""
    body = _selection(ids, aggregate) | {"dry_run": dry_run}
    answer = call(url, token, "POST", f"/{service}/v1/dead_letters/replay", json=body)
    for item in answer["items"]:
        out.print(f"{item['id']}  {item['result']}  {item['error'] or ''}", soft_wrap=True)
    if any(item["result"] in ("failed", "blocked") for item in answer["items"]):
        raise typer.Exit(1)


@dead_letters.command("discard")
def discard_letters(
    service: Service,
    reason: Annotated[str, typer.Option(help="Why these events may be lost to this service.")],
    ids: Ids = None,
    aggregate: Aggregate = None,
    url: Url = LOCAL,
    token: Token = "",
) -> None:
    """Give letters up for good; the reason is audited."""
    body = _selection(ids, aggregate) | {"reason": reason}
    answer = call(url, token, "POST", f"/{service}/v1/dead_letters/discard", json=body)
    out.print(f"{len(answer['ids'])} discarded")


@due.command("list")
def list_due(
    service: Service,
    state: Annotated[
        str, typer.Option(help="postponed (they failed) or waiting (their moment comes)")
    ] = "postponed",
    kind: Kind = None,
    as_json: AsJson = False,
    url: Url = LOCAL,
    token: Token = "",
) -> None:
    """What failed when it was due, why, and when it is tried again."""
    query = {"state": state, "limit": 1000} | ({"kind": kind} if kind else {})
    page = call(url, token, "GET", f"/{service}/v1/due", params=query)
    if as_json:
        out.print_json(json.dumps(page))
        return
    for row in page["items"]:
        out.print(f"{row['id']}  {row['kind']} of {row['subject_type']} {row['subject_id']}", soft_wrap=True)
        out.print(
            f"    due {row['due_at']}, tried {row['attempts']} times, again {row['wakes_at']}", soft_wrap=True
        )
        out.print(f"    {row['last_error'] or 'waits for its moment'}", soft_wrap=True, markup=False)
    out.print(f"{len(page['items'])} {state}" + (", and more" if page["next_cursor"] else ""))


@due.command("retry")
def retry_due(
    service: Service,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of postponed ones.")] = None,
    kind: Kind = None,
    url: Url = LOCAL,
    token: Token = "",
) -> None:
    """Try postponed ones at once, after their cause was corrected."""
    if not ids and not kind:
        raise typer.BadParameter("name ids, or --kind")
    body = {"ids": ids or []} | ({"kind": kind} if kind else {})
    answer = call(url, token, "POST", f"/{service}/v1/due/retry", json=body)
    out.print(f"{len(answer['ids'])} are tried now")


@bus.command("rewind")
def rewind(
    service: Service,
    topic: str,
    offset: Annotated[
        list[str] | None, typer.Option(help="partition=offset; without it, the beginning.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be read again.")] = False,
) -> None:
    """Let a STOPPED service read a topic again. What it has applied already is not applied twice."""
    offsets = dict(_partition(text) for text in offset or ())
    places = (
        ", ".join(f"partition {p} from {o}" for p, o in offsets.items())
        or "every partition from the beginning"
    )
    if dry_run:
        out.print(f"would let concordat-{service} read {topic} again: {places}")
        return
    settings = settings_of(service)()
    asyncio.run(open_bus(settings).rewind(f"concordat-{service}", topic, offsets or None))
    out.print(f"concordat-{service} reads {topic} again: {places}")


def _partition(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition("=")
    if not partition.isdigit() or not offset.isdigit():
        raise typer.BadParameter(f"{text!r} is not partition=offset, for example 3=1200")
    return int(partition), int(offset)
