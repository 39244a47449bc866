"""What a request carries: JSON, a form (with or without files), or raw bytes.

A body is received whole, and bounded, before the transaction begins: a slow sender must not hold a connection.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from tempfile import SpooledTemporaryFile
from typing import Any, Final, Protocol

from fastapi import Depends, Request, params
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile

from shared.web.parameters import takes_many
from shared.web.problems import BadRequest, UnsupportedMedia
from shared.web.requests import StrictRequest

FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
MOST_FIELDS: Final = 200
MOST_FILES: Final = 20
IN_MEMORY: Final = 256 * 1024
PIECE: Final = 64 * 1024


class Body(Protocol):
    """A kind of body."""

    async def receive(self, request: StrictRequest) -> None:
        """Take it in, or refuse it."""

    async def close(self, request: StrictRequest) -> None:
        """Let go of what it was kept in."""


class Unread:
    """No body is declared; what is sent all the same is received and not looked at."""

    async def receive(self, request: StrictRequest) -> None:
        await request.body()

    async def close(self, request: StrictRequest) -> None: ...


class Json(Unread):
    """One JSON document: `form: SomeIn`."""

    async def receive(self, request: StrictRequest) -> None:
        request.require_media("application/json")
        await request.body()


class Form(Unread):
    """Fields of a page's form, files among them: `form: Annotated[SomeIn, Form()]`, `file: UploadFile`.

    `many` are the fields that may come more than once.
    """

    def __init__(self, many: frozenset[str]) -> None:
        self._many = many

    async def receive(self, request: StrictRequest) -> None:
        request.require_media(*FORMS)
        form = await request.form(
            max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=request.max_bytes
        )
        names = [name for name in form if name not in self._many and len(form.getlist(name)) > 1]
        if names:
            raise BadRequest("duplicate_name", f"The form names {', '.join(sorted(names))} twice.")
        request.digest = await _digest(form)

    async def close(self, request: StrictRequest) -> None:
        await request.close()


async def _digest(form: FormData) -> "hashlib._Hash":
    """Of what the form says: a repeated multipart body differs in its boundary from the first."""
    digest = hashlib.sha256()
    for name, value in sorted(form.multi_items(), key=lambda item: item[0]):
        digest.update(name.encode() + b"\0")
        if isinstance(value, UploadFile):
            while piece := await value.read(PIECE):
                digest.update(piece)
            await value.seek(0)
        else:
            digest.update(value.encode())
        digest.update(b"\0")
    return digest


class Upload:
    """A raw body that was received: in memory while it is small, else in a temporary file."""

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the route closes it

    async def fill(self, request: StrictRequest) -> None:
        """Take the request's body; refused beyond its limit."""
        async for piece in request.stream():
            await asyncio.to_thread(self._file.write, piece)
        self._file.seek(0)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The content from its beginning, in pieces of at most 64 KiB."""
        self._file.seek(0)
        while piece := await asyncio.to_thread(self._file.read, PIECE):
            yield piece

    def close(self) -> None:
        self._file.close()


class Accepts(Unread):
    """The body marker of a route that takes bytes: `upload: Annotated[Upload, accepts({"text/csv": {...}})]`.

    `content` maps each media type to what the API document says about it.
    """

    def __init__(self, content: Mapping[str, Mapping[str, object]]) -> None:
        self.content = content

    async def receive(self, request: StrictRequest) -> None:
        if request.is_encoded or request.media_type not in self.content:
            message = f"Send one of {', '.join(self.content)}, uncompressed."
            raise UnsupportedMedia("unsupported_media_type", message)
        request.state.upload = upload = Upload(request.media_type)
        await upload.fill(request)

    async def close(self, request: StrictRequest) -> None:
        upload: Upload | None = getattr(request.state, "upload", None)
        if upload is not None:
            upload.close()

    async def __call__(self, request: Request) -> Upload:
        upload: Upload = request.state.upload
        return upload


def accepts(content: Mapping[str, Mapping[str, object]]) -> object:
    """Raw bytes of one of these media types, each with its part of the API document."""
    return Depends(Accepts(content))


def body_of(dependant: Dependant, accepted: Accepts | None) -> Body:
    """The body a route's signature names."""
    if accepted is not None:
        return accepted
    if not dependant.body_params:
        return Unread()
    if not any(isinstance(field.field_info, params.Form) for field in dependant.body_params):
        return Json()
    return Form(frozenset(name for name, kind in _form_fields(dependant) if takes_many(kind)))


def _form_fields(dependant: Dependant) -> list[tuple[str, Any]]:
    """The names and types of a form's fields; a model stands for its own."""
    fields: list[tuple[str, Any]] = []
    for field in dependant.body_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields += [(info.alias or name, info.annotation) for name, info in kind.model_fields.items()]
        else:
            fields.append((field.alias, kind))
    return fields
