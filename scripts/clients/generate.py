"""Generate a client of every service in every language from the committed documents, and compile it.

    python scripts/clients/generate.py [python typescript typescript-fetch java go csharp]

The generators run with their default options. What they make stays in .cache/clients/<language>/<service>; the tools
themselves come from the registries by name (`make clients` installs them) and from the machine: Java, Maven, Go, Node.
A client that does not compile ends the run with 1; one whose compiler is not installed is only generated, said so, and
in CI ends the run with 1 too.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "clients"
TOOLS = CACHE / "tools" / "bin"
NODE_TOOLS = CACHE / "node_modules" / ".bin"
SERVICES = ("charter", "sla", "changes", "notifier")
STRICT = ("--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", "commonjs", "--noEmit")

Command = list[str]


@dataclass(frozen=True)
class Client:
    """How a language's client is made and compiled; `document` is the end of the name of what it reads."""

    generate: Callable[[Path, Path], Command]
    compile: Callable[[Path], Command]
    compiler: str
    document: str = "openapi-3.0.json"


def with_generator(name: str, *options: str) -> Callable[[Path, Path], Command]:
    """The command for openapi-generator, whose jar comes inside a wheel."""

    def command(document: Path, folder: Path) -> Command:
        (jar,) = (CACHE / "tools").glob(
            "lib/python*/site-packages/openapi_generator_cli/openapi-generator.jar"
        )
        return [
            "java",
            "-jar",
            str(jar),
            "generate",
            "-g",
            name,
            *options,
            "-i",
            str(document),
            "-o",
            str(folder),
        ]

    return command


def _python(document: Path, folder: Path) -> Command:
    place = ["--path", str(document), "--output-path", str(folder), "--overwrite"]
    return [str(TOOLS / "openapi-python-client"), "generate", *place]


def _types(document: Path, folder: Path) -> Command:
    return [str(NODE_TOOLS / "openapi-typescript"), str(document), "-o", str(folder / "index.ts")]


def _strictly(folder: Path) -> Command:
    return [str(NODE_TOOLS / "tsc"), *STRICT, str(folder / "index.ts")]


CLIENTS = {
    "python": Client(
        _python, lambda _: [str(TOOLS / "python"), "-m", "compileall", "-q", "."], "", "openapi.json"
    ),
    "typescript": Client(_types, _strictly, "node", "openapi.json"),
    "typescript-fetch": Client(with_generator("typescript-fetch"), _strictly, "node"),
    "java": Client(
        with_generator("java", "--library", "native"),
        lambda _: ["mvn", "-q", "-B", "-DskipTests", "compile"],
        "mvn",
    ),
    "go": Client(with_generator("go"), lambda _: ["go", "build", "./..."], "go"),
    "csharp": Client(
        with_generator("csharp"), lambda _: ["dotnet", "build", "--nologo", "-v", "q"], "dotnet"
    ),
}


class Broken(Exception):
    """A command failed; says what it printed."""


def run(command: Command, folder: Path) -> None:
    """Run a command in the folder. Broken with the end of its output when it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        raise Broken("\n".join([f"{command[0]} ended with {done.returncode}:", *lines[:40]]))


def make(language: str, service: str) -> str:
    """Generate and compile one client; what there is to say about it besides that it compiles."""
    client, folder = CLIENTS[language], CACHE / language / service
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run(client.generate(ROOT / "docs" / "api" / f"{service}.{client.document}", folder), folder)
    if client.compiler and not shutil.which(client.compiler):
        if "CI" in os.environ:
            raise Broken(f"{client.compiler} is not installed")
        return f"{client.compiler} is not installed: generated, which its generator checks, not compiled"
    run(client.compile(folder), folder)
    return "compiles"


def main(languages: Iterable[str]) -> int:
    failed = 0
    for language in languages or CLIENTS:
        began = time.monotonic()
        for service in SERVICES:
            try:
                outcome = make(language, service)
            except Broken as broken:
                failed += 1
                outcome = f"DOES NOT COMPILE\n{broken}"
            print(f"{language:<17}{service:<9}{outcome}", flush=True)
        print(f"{language:<17}took {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
