"""Serving an application until asked to stop."""

import gc
import signal
import socket
from collections.abc import Sequence

import typer
import uvicorn
from fastapi import FastAPI
from rich.console import Console

GRACE_SECONDS = 20
err = Console(stderr=True, highlight=False)


def refuse_taken_port(host: str, port: int) -> None:
    """Say so before anything is started or loaded."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            err.print(f"[red]Port {port} is taken.[/red] Choose another: --port, or make run PORT=8001")
            raise typer.Exit(1) from None


def serve(application: object, host: str, port: int, services: Sequence[FastAPI] = ()) -> None:
    """Serve until asked to stop. Ends with 1 when it could not start or a background loop died."""
    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        log_config=None,  # the services' own: one line of JSON each
        log_level="warning",
        access_log=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        proxy_headers=False,  # each service believes the proxies that its settings name
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again once it has stopped: asked to stop and stopped in order is a success.
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: None)
    # What was loaded stays for good: the collector need not walk it again, 0.15 s each time, while callers wait.
    gc.collect()
    gc.freeze()
    server.run()
    if not server.started or any(service.state.kernel.failed for service in services):
        raise typer.Exit(1)
