"""The calls of a service as TypeScript: a program of its typescript-fetch client, and requests for its types."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.clients.requests import Call

PROGRAM = """\
import * as client from {home};

const report = (line: object) => console.log(JSON.stringify(line));
const as = (token: string) => new client.Configuration({{ basePath: {url}, accessToken: token }});

async function main(): Promise<void> {{
{calls}
}}

main();
"""
CALL = """\
  {{
    const answer = await new client.{api}(as({token})).{method}Raw({arguments});
    const value: unknown = await answer.value();
    report({{ operation: {operation}, status: answer.raw.status, type: typeof value }});
  }}"""
REFUSED = """\
  try {{
    await new client.{api}(as({token})).{method}Raw({arguments});
  }} catch (error) {{
    if (!(error instanceof client.ResponseError)) throw error;
    report({{ operation: {operation}, status: error.response.status, type: "problem" }});
  }}"""


def camel(name: str) -> str:
    first, *others = re.split(r"[-_]", name)
    return first.lower() + "".join(each.capitalize() for each in others)


def pascal(name: str) -> str:
    return "".join(each.capitalize() for each in re.split(r"[-_]", name))


def program(calls: list[Call], folder: Path, url: str) -> str:
    """Makes every call and reports, a line of JSON for each, what the answer was read as."""
    lines = "\n".join(_call(call, folder) for call in calls)
    return PROGRAM.format(home=json.dumps(f"../{folder.name}"), url=json.dumps(url), calls=lines)


def _call(call: Call, folder: Path) -> str:
    api = f"{pascal(call.tag)}Api"
    members = _members((folder / "apis" / f"{api}.ts").read_text(), call.operation)
    given = ", ".join(f"{name}: {value}" for name, value in _arguments(call, members))
    form = REFUSED if call.status >= 400 else CALL
    return form.format(
        api=api,
        method=camel(call.operation),
        operation=json.dumps(call.operation),
        token=json.dumps(call.token),
        arguments=f"{{ {given} }}" if members else "",
    )


def _members(source: str, operation: str) -> dict[str, str]:
    """What a request of the operation may hold, and of which type."""
    match = re.search(rf"interface {pascal(operation)}(?:Operation)?Request {{(.*?)\n}}", source, re.DOTALL)
    return dict(re.findall(r"^\s+(\w+)\??: (.+);$", match[1], re.MULTILINE)) if match else {}


def _arguments(call: Call, members: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in ((camel(name), value) for name, value in call.parameters.items()):
        yield name, f"new Date({json.dumps(value)})" if members[name] == "Date" else json.dumps(value)
    if call.body is not None:
        (name,) = members.keys() - {camel(name) for name in call.places}
        yield name, f"client.{members[name]}FromJSON({json.dumps(call.body)})"


def requests(calls: list[Call]) -> str:
    """Every request as a literal of the types that openapi-typescript made: compiling it is the test."""
    lines = [f"import type {{ operations }} from {json.dumps('./index')};"]
    for number, call in enumerate(calls):
        kind = f'operations["{call.operation}"]'
        lines.append(f"export const parameters{number}: {kind}['parameters'] = {json.dumps(_placed(call))};")
        if call.body is not None:
            body = f"NonNullable<{kind}['requestBody']>['content']['application/json']"
            lines.append(f"export const body{number}: {body} = {json.dumps(call.body)};")
    return "\n".join(lines)


def _placed(call: Call) -> dict[str, Any]:
    placed: dict[str, Any] = {}
    for name, value in call.parameters.items():
        placed.setdefault(call.places[name], {})[name] = value
    return placed
