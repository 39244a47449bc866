"""`concordat clock`: show and move the clock of the embedded mode that runs on a folder."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from concordat.cli.operations import call, err, out
from concordat.embedded.folder import running_at

clock = typer.Typer(
    no_args_is_help=True, help="The clock of the embedded mode: show, advance, set. It never goes back."
)
Folder = Annotated[Path, typer.Option("--data", envvar="CONCORDAT_DATA", help="Folder of the embedded mode.")]


@clock.command("show")
def show(data: Folder = Path(".data")) -> None:
    """Where the clock stands, and what it comes to next."""
    _print(_ask(data, "GET", "/clock"))


@clock.command("advance")
def advance(
    by: Annotated[str, typer.Argument(help="10bd (business days), 2w, 3d, 4h or 30m.")],
    calendar: Annotated[
        str | None, typer.Option(help="Whose business days: a calendar of the charter.")
    ] = None,
    charter: Annotated[
        str | None, typer.Option(help="Id of another charter than the demonstration's.")
    ] = None,
    data: Folder = Path(".data"),
) -> None:
    """Let time pass: all that is due on the way happens, in order, each at its own moment."""
    body = {"by": by, "calendar": calendar, "charter_id": charter}
    _print(_ask(data, "POST", "/clock/advance", {name: value for name, value in body.items() if value}))


@clock.command("set")
def set_clock(
    to: Annotated[str, typer.Argument(help="For example 2026-11-20T09:00, in Washington without an offset.")],
    data: Folder = Path(".data"),
) -> None:
    """Let time pass until a moment."""
    _print(_ask(data, "POST", "/clock/set", {"to": to}))


def _ask(data: Path, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    url = running_at(data)
    if url is None:
        err.print(f"[red]Nothing runs on the folder {data}.[/red] Start it first: make run DATA={data}")
        raise typer.Exit(1)
    from concordat.embedded.issuer import SYSADMIN, DevelopmentIssuer

    token = DevelopmentIssuer.in_folder(data).token(SYSADMIN, datetime.now(UTC))
    return call(url, token, method, path, timeout=None, json=body)


def _print(answer: dict[str, Any]) -> None:
    for each in answer.get("happened", ()):
        failed = "" if each["succeeded"] else "  FAILED (see `concordat due list`)"
        out.print(
            f"{each['at']}  {each['service']}: {each['kind']} of {each['subject_id']}{failed}", soft_wrap=True
        )
    out.print(f"The clock stands at {answer['local']} ({answer['now']}) and runs on.", soft_wrap=True)
    if upcoming := answer["next_due"]:
        out.print(f"Next is something of {upcoming['service']}, at {upcoming['at']}.", soft_wrap=True)
