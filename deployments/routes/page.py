"""The web pages and their files. They hold nothing secret: a page asks for the key and calls the API with it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).resolve().parent.parent / "web"

DOCS_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
"""What the page of the API needs of Swagger UI, out of the package `fastapi_offline`: nothing comes from elsewhere."""

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
    """Serve the page at `/`, the operator's at `/ops`, the API's at `/docs`, and their files below `/static/`."""

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return FileResponse(FOLDER / "index.html", headers=HEADERS)

    @app.get("/ops", include_in_schema=False)
    async def operations() -> Response:
        return FileResponse(FOLDER / "ops.html", headers=HEADERS)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(FOLDER / "docs.html", headers=HEADERS)

    @app.get("/static/swagger/{name}", include_in_schema=False)
    async def swagger(name: str) -> Response:
        if name not in DOCS_FILES:
            raise HTTPException(404)
        return FileResponse(_swagger_folder() / name, headers=HEADERS)

    app.mount("/static", PageFiles(directory=FOLDER), name="static")


@cache
def _swagger_folder() -> Path:
    found = find_spec("fastapi_offline")
    assert found is not None and found.origin is not None, "fastapi_offline is a requirement"
    return Path(found.origin).parent / "static"
