"""What routes need besides session and caller: the vault and the deployment's egress policy."""

from typing import Annotated

from fastapi import Depends, Request

from services.notifier.tools import Tools


async def _tools(request: Request) -> Tools:
    tools: Tools = request.app.state.delivery_tools
    return tools


DeliveryTools = Annotated[Tools, Depends(_tools)]
