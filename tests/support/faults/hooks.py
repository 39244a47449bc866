"""The ticketing systems of a scenario: real HTTP receivers, well or sick, that write down every webhook they get."""

import asyncio
import hashlib
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.support.faults.history import History
from tests.support.receiver import Manner, Receiver, Reply, Request

REFUSED_HOST: Final = "127.0.0.2" if sys.platform == "linux" else "[::1]"
"""An address of this machine that the deployment did not allow."""
UUIDS: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STUCK: Final = Reply(manner=Manner.hang)
DRIPS: Final = Reply(manner=Manner.drip)
TORN: Final = Reply(manner=Manner.torn)


@dataclass(frozen=True)
class Hook:
    """An endpoint an organization wants to have. A sick one need not get everything, but must harm nobody."""

    name: str
    org: str
    reply: Reply = field(default_factory=Reply)
    sick: bool = False
    template: str = "cloudevents"
    max_in_flight: int = 4
    refused: bool = False
    """Its address is changed to a refused one after it was registered, as a name's address may."""
    watched: bool = True
    """Whether its webhooks go into the history; a hundred thousand of them would only fill it."""

    @property
    def is_prompt(self) -> bool:
        """Whether others must not delay it: it is well and answers at once."""
        return not self.sick and self.reply == Reply()


@dataclass
class LiveHook:
    """A hook as it runs."""

    hook: Hook
    receiver: Receiver
    id: str = ""
    secret: str = ""
    gauge: Callable[[], int] = int
    """Says how many requests of the obstacle beside it have ended; none when there is none."""
    first_arrival: dict[str, int] = field(default_factory=dict)
    """What the gauge said when the first copy of each webhook came."""
    mentioned: set[str] = field(default_factory=set)
    """Every id that stood in a body."""

    def heal(self) -> None:
        self.receiver.otherwise = Reply()

    def notice(self, history: History, request: Request) -> None:
        webhook = request.headers.get("webhook-id", "none")
        self.first_arrival.setdefault(webhook, self.gauge())
        self.mentioned |= {id_.decode() for id_ in UUIDS.findall(request.body)}
        history.note(
            "received",
            id=webhook,
            endpoint=self.hook.name,
            body=hashlib.sha256(request.body).hexdigest(),
            valid=self._is_valid(request),
        )

    def _is_valid(self, request: Request) -> bool:
        """As the reference library sees it, on arrival: the timestamp is judged too."""
        try:
            Webhook(self.secret).verify(request.body, dict(request.headers))
        except WebhookVerificationError:
            return False
        return True


@asynccontextmanager
async def listening(hook: Hook, history: History) -> AsyncIterator[LiveHook]:
    """The hook's receiver on a port of its own."""
    async with Receiver(otherwise=hook.reply) as receiver:
        live = LiveHook(hook, receiver)
        if hook.watched:
            receiver.notice = lambda request: live.notice(history, request)
        yield live


@asynccontextmanager
async def trap(history: History) -> AsyncIterator[int]:
    """Listens on the refused address and writes down everybody who gets there; yields its port."""

    async def caught(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        history.note("sent", address=REFUSED_HOST, allowed=False)
        writer.close()

    server = await asyncio.start_server(caught, REFUSED_HOST.strip("[]"), 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()
