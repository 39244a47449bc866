"""Clients that ask, write down what they were told, and ask again with the same key while they do not know."""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx

from tests.support.faults.history import History
from tests.support.faults.service import PREFIX
from tests.support.patience import PATIENCE, Patience

PAUSE: Final = 0.05
UNKNOWN_CODES: Final = ("request_in_progress",)


@dataclass(frozen=True)
class Note:
    """What a client knows of a note it made."""

    id: str
    version: int


class GaveUp(Exception):
    """The client asked again and again and never learnt what became of its command."""


@dataclass
class Client:
    """One user agent. Its answers and its ignorance go into the history."""

    history: History
    url: str
    token: str
    charter_id: str
    name: str
    _keys: Any = field(default_factory=itertools.count)
    _http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self._http = httpx.AsyncClient(
            base_url=self.url,
            timeout=PATIENCE,
            headers={"Authorization": f"Bearer {self.token}"},
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    def new_key(self) -> str:
        return f"{self.name}-{next(self._keys)}"

    async def create(self, key: str | None = None) -> Note:
        """Make a note, repeating until the answer is known. GaveUp when it never is, Refused when refused."""
        key = key or self.new_key()
        return await self._insist("create", key, PREFIX, {"charter_id": self.charter_id, "title": key})

    async def step(self, note: Note, key: str | None = None) -> Note:
        """Change a note, likewise."""
        key = key or self.new_key()
        return await self._insist(
            "step", key, f"{PREFIX}/{note.id}/steps", {"command": key}, version=note.version
        )

    async def _insist(self, f: str, key: str, path: str, body: object, version: int | None = None) -> Note:
        patience = Patience()
        while patience.is_left:
            answer = await self.ask(f, key, path, body, version)
            if answer is not None:
                return _note(answer)
            await asyncio.sleep(PAUSE)
        raise GaveUp(f"{f} {key}")

    async def ask(
        self, f: str, key: str, path: str, body: object, version: int | None = None
    ) -> httpx.Response | None:
        """One try. None when nobody knows what happened; Refused when it certainly did not."""
        operation = self.history.invoke(f, key=key, client=self.name)
        headers = {"Idempotency-Key": key} | ({"If-Match": f'"{version}"'} if version is not None else {})
        try:
            answer = await self._http.post(path, json=body, headers=headers)
        except httpx.TransportError as error:
            self.history.note("info", op=operation, f=f, key=key, error=type(error).__name__)
            return None
        self._record_answer(operation, f, key, answer)
        if answer.is_success:
            return answer
        if _is_unknown(answer):
            return None
        raise Refused(answer)

    def _record_answer(self, operation: int, f: str, key: str, answer: httpx.Response) -> None:
        facts: dict[str, object] = {"op": operation, "f": f, "key": key, "status": answer.status_code}
        if answer.is_success:
            note = _note(answer)
            replayed = "idempotency-replayed" in answer.headers
            self.history.note("ok", **facts, aggregate=note.id, version=note.version, replayed=replayed)
            return
        facts |= {"retry_after": answer.headers.get("retry-after"), "detail": answer.text[:300]}
        self.history.note("info" if _is_unknown(answer) else "fail", **facts)

    async def work(self, chance: random.Random, go_on: Callable[[], bool], steps: int = 5) -> int:
        """Make notes and change each a few times, until told to stop; how many commands were acknowledged."""
        done = 0
        while go_on():
            note = await self.create()
            done += 1
            for _ in range(chance.randrange(steps + 1)):
                if not go_on():
                    break
                note = await self.step(note)
                done += 1
        return done


class Refused(Exception):
    """A definite no, with the answer that said it."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"{answer.status_code} {answer.text[:300]}")
        self.answer = answer


def _is_unknown(answer: httpx.Response) -> bool:
    """A server error may hide a commit whose answer got lost, so it is never taken for a no."""
    return answer.status_code >= 500 or answer.json().get("code") in UNKNOWN_CODES


def _note(answer: httpx.Response) -> Note:
    return Note(answer.json()["id"], int(answer.headers["etag"].strip('"')))
