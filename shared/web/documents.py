"""The interactive API document of a service: Swagger UI, served from here, since agencies block other hosts' scripts."""

from html import escape
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request, Response

from shared.pure.refusal import Missing
from shared.web.answers import finished

POLICY: Final = (
    # Swagger UI sets styles on its elements and draws its icons from data addresses.
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
_START: Final = b'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, docExpansion: "none"});\n'
_MEDIA_TYPES: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
"""The assets that the package fastapi-offline carries."""


def documents_router(service: str, title: str) -> APIRouter:
    """`/{service}/docs` and what it loads. It names no data, so it needs no caller."""
    router = APIRouter(prefix=f"/{service}/docs", include_in_schema=False)
    page = _page(title)

    @router.get("")
    async def show_documents() -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    @router.get("/{asset}")
    async def show_documents_asset(asset: str, request: Request) -> Response:
        answer = _asset(asset)
        answer.headers["Cache-Control"] = "no-cache"  # kept by browsers, and asked about with its ETag
        return finished(request, answer)

    return router


def _page(title: str) -> str:
    # The addresses are relative: the page may stand behind a proxy that adds to the path.
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<link rel="stylesheet" href="docs/swagger-ui.css"></head><body><main id="swagger-ui"></main>'
        '<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>'
    )


def _asset(name: str) -> Response:
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _MEDIA_TYPES:
        raise Missing("asset")
    content = (files("fastapi_offline") / "static" / name).read_bytes()
    return Response(content, media_type=_MEDIA_TYPES[name])
