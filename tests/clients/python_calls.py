"""Make every call of a file with a client that openapi-python-client generated; runs in the generators' environment.

    python python_calls.py PACKAGE_FOLDER BASE_URL CALLS.json

Prints one JSON object per call: what the answer was, and what of it the generated class lost, if anything.
"""

import importlib
import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

Json = Any


def python_name(name: str) -> str:
    return name.lower().replace("-", "_")


def choices(hint: Any) -> Iterator[Any]:
    """The classes that an annotation allows."""
    for each in typing.get_args(hint) or (hint,):
        yield from choices(each) if typing.get_args(each) else (each,)


def typed(value: Json, hint: Any) -> Any:
    """The value as the generated function wants it."""
    for each in choices(hint):
        if hasattr(each, "from_dict"):
            return each.from_dict(value)
        if inspect.isclass(each) and issubclass(each, UUID | Enum):
            return each(value)
    return value


def arguments(function: Callable[..., Any], call: Json) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    given = {python_name(name): value for name, value in call["parameters"].items()}
    if call["body"] is not None:
        given["body"] = call["body"]
    return {name: typed(value, hints[name]) for name, value in given.items()}


def lost(sent: Json, kept: Json, at: str = "") -> Iterator[str]:
    """Places of the answer that are missing from what the generated class makes of it."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        for name, value in sent.items():
            yield from lost(value, kept[name], f"{at}/{name}") if name in kept else (f"{at}/{name}",)
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        for number, (one, other) in enumerate(zip(sent, kept, strict=True)):
            yield from lost(one, other, f"{at}/{number}")
    elif type(sent) is not type(kept):
        yield f"{at} ({kept!r} for {sent!r})"


def made(package: Any, url: str, call: Json) -> Json:
    module = importlib.import_module(f"{package.__name__}.api.{call['tag']}.{call['operation']}")
    anybody, member = package.Client, package.AuthenticatedClient
    client = member(base_url=url, token=call["token"]) if call["token"] else anybody(base_url=url)
    answer = module.sync_detailed(client=client, **arguments(module.sync_detailed, call))
    parsed = answer.parsed
    line = {"operation": call["operation"], "status": int(answer.status_code), "bytes": len(answer.content)}
    if hasattr(parsed, "to_dict"):
        line["lost"] = list(lost(json.loads(answer.content), parsed.to_dict()))
    return line | {"type": type(parsed).__name__}


def main(folder: str, url: str, calls: str) -> None:
    (home,) = Path(folder).glob("*/client.py")
    sys.path.insert(0, folder)
    package = importlib.import_module(home.parent.name)
    for call in json.loads(Path(calls).read_text()):
        print(json.dumps(made(package, url, call)))


if __name__ == "__main__":
    main(*sys.argv[1:])
