"""Prints the path of the official AsyncAPI 3.0.0 JSON Schema, fetched once by npm into `.cache/asyncapi`."""

import shutil
import subprocess
import tarfile
from pathlib import Path

PACKAGE = "@asyncapi/specs"
VERSION = "6.11.1"
MEMBER = "package/schemas/3.0.0-without-$id.json"
"""The variant that resolves within itself."""
FOLDER = Path(__file__).resolve().parents[1] / ".cache" / "asyncapi"


def schema_path() -> Path:
    """The cached schema; asks npm for the package when it is not there. `SystemExit` says why it cannot."""
    path = FOLDER / f"3.0.0-from-{VERSION}.json"
    if not path.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("npm is not installed, so the AsyncAPI schema cannot be fetched")
        _unpack(_fetch(npm), path)
    return path


def _fetch(npm: str) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise SystemExit(f"npm could not fetch {PACKAGE}: {done.stderr.strip()[-300:]}")
    return FOLDER / done.stdout.split()[-1]


def _unpack(archive: Path, path: Path) -> None:
    with tarfile.open(archive) as package:
        member = package.extractfile(MEMBER)
        assert member is not None, f"{PACKAGE} {VERSION} has no {MEMBER}"
        part = path.with_suffix(".part")
        part.write_bytes(member.read())
    part.replace(path)  # whole or not at all, whoever else fetches at the same time
    archive.unlink()


if __name__ == "__main__":
    print(schema_path())
