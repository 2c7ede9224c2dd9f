"""The web page and its files. They hold nothing secret: the page asks for the key and calls the API with it."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).resolve().parent.parent / "web"

HEADERS = {
    "Cache-Control": "no-cache",  # asked for again with its ETag each time: an upgrade never mixes old and new modules
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


class PageFiles(StaticFiles):
    """The files below `/static/`, with the headers of a page that trusts nobody."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304 when the browser has it."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def install(app: FastAPI) -> None:
    """Serve the page at `/`, the operator's page at `/ops`, and their files below `/static/`."""

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return FileResponse(FOLDER / "index.html", headers=HEADERS)

    @app.get("/ops", include_in_schema=False)
    async def operations() -> Response:
        return FileResponse(FOLDER / "ops.html", headers=HEADERS)

    app.mount("/static", PageFiles(directory=FOLDER), name="static")
