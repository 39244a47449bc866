"""The folder of an installation belongs to one running process: two would have two clocks and two ports."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_FILE: Final = "running"


class FolderInUse(RuntimeError):
    """Another process runs on the folder; the message says where it answers."""


@contextmanager
def only_one(folder: Path, url: str) -> Iterator[None]:
    """Hold the folder, and leave word of where we answer. The hold ends with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"Concordat runs on {folder} already, at {_written(folder)}.") from None
        file.truncate(0)
        file.write(url)
        file.flush()
        yield


def running_at(folder: Path) -> str | None:
    """Where the process that holds the folder answers; None when nothing runs on it."""
    if not (folder / _FILE).exists():
        return None
    with (folder / _FILE).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _written(folder)
    return None


def _written(folder: Path) -> str:
    return (folder / _FILE).read_text()
