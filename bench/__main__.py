"""`python -m bench [NAME...]`: measure, print the table, write bench.json."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import api, consumer, debezium, deliveries, ingest, kafka, results, start, webhooks
from bench.figures import Options, Result, Skipped, Step
from bench.load import client

Measure = Callable[[Options, Step], Sequence[Result]]
MEASURES: dict[Measure, tuple[str, ...]] = {
    api.writes: ("write_vs_orm", "write_vs_asyncpg", "write_vs_django", "write_cpu_vs_asyncpg"),
    api.reads: ("read_vs_asyncpg",),
    kafka.relays: ("relay_vs_perf_test",),
    debezium.relays: ("relay_vs_debezium",),
    ingest.ingests: ("ingest_vs_copy",),
    results.gaps: ("loop_gap_ms",),
    webhooks.deliveries: ("event_to_webhook_p99_ms", "event_to_webhook_kafka_p99_ms"),
    consumer.consumes: ("consumer_per_event_cpu_us",),
    deliveries.drains: ("deliveries_vs_bare_loop",),
    deliveries.costs: ("event_to_webhook_cpu_ms",),
    start.starts: ("cold_start_s", "rss_mb"),
}
NAMES = [name for names in MEASURES.values() for name in names]
console = Console(highlight=False)


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of: {', '.join(NAMES)}. Default: all.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Interleaved runs of each side.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, max=10, help="Length of a timed run.")] = 4,
    output: Annotated[Path, typer.Option(help="Where the figures and raw runs go.")] = Path("bench.json"),
) -> None:
    """Measure Concordat beside named peers, in the same run on the same machine."""
    wanted = set(names or NAMES)
    if unknown := wanted - set(NAMES):
        raise typer.BadParameter(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    results = _measure([m for m, yields in MEASURES.items() if wanted & set(yields)], Options(runs, seconds))
    kept = _merge(output, [result.as_json() for result in results])
    output.write_text(json.dumps(kept, indent=2) + "\n")
    fresh = {result.name for result in results}
    _show([figure for figure in kept["figures"] if figure["name"] in fresh])
    console.print(f"Raw runs, and the figures measured before: {output}")


def _measure(measures: Sequence[Measure], options: Options) -> list[Result]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    results: list[Result] = []
    with Progress(*columns, console=console, transient=True) as progress:
        for measure in measures:
            label = ", ".join(MEASURES[measure])
            task = progress.add_task(f"{label}: preparing")

            def step(doing: str, task: Any = task, label: str = label) -> None:
                progress.update(task, description=f"{label}: {doing}")

            try:
                results += measure(options, step)
            except (RuntimeError, subprocess.CalledProcessError, httpx.HTTPError) as error:
                results += [Skipped(name, name, f"not measured: {error}") for name in MEASURES[measure]]
            progress.update(task, description=f"{label}: done", completed=100)
    return results


def _merge(file: Path, fresh: list[dict[str, object]]) -> dict[str, Any]:
    """The file's figures with the fresh ones in their place: a run of some keeps the others."""
    known = {f["name"]: f for f in json.loads(file.read_text())["figures"]} if file.exists() else {}
    known |= {str(figure["name"]): figure for figure in fresh}
    return {
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "load_generator": client(),
        },
        "figures": [known[name] for name in NAMES if name in known],
    }


def _show(figures: Sequence[dict[str, Any]]) -> None:
    table = Table("Figure", "Value", "Aim", "Ours", "Peer", "", title="Medians of interleaved runs")
    measured = [figure for figure in figures if "reason" not in figure]
    for figure in measured:
        table.add_row(
            figure["name"],
            f"{figure['value']:.2f}{'' if figure['peer'] else ' ' + figure['unit']}",
            _aim(figure),
            _side(figure["ours"]),
            _side(figure["peer"]) if figure["peer"] else "",
            {True: "met", False: "missed", None: ""}[figure["met"]],
        )
    console.print(table)
    for figure in measured:
        if figure["met"] is False:
            console.print(f"[bold]{figure['name']}[/bold]: {figure['note']}")
    for figure in figures:
        if "reason" in figure:
            console.print(f"[bold]{figure['name']}[/bold] was {figure['reason']}")


def _aim(figure: dict[str, Any]) -> str:
    if figure["aim"] is None:
        return ""
    return f"{'<=' if figure['smaller_is_better'] else '>='} {figure['aim']:g}"


def _side(side: dict[str, Any]) -> str:
    return f"{side['median']:,.0f} {side['unit']}"


if __name__ == "__main__":
    typer.run(main)
