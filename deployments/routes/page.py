"""The web page and its files. They hold nothing secret: the page asks for the key and calls the API with it."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from cluster.errors import NotFoundError

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).resolve().parent.parent / "web"


@router.get("/")
async def index() -> Response:
    """The page."""
    return FileResponse(FOLDER / "index.html", headers={"Cache-Control": "no-cache"})


@router.get("/static/{path:path}")
async def static(path: str) -> Response:
    """A file of the page.

    Raises:
        NotFoundError: there is no such file, or it lies outside of the folder.
    """
    file = (FOLDER / path).resolve()
    if not file.is_relative_to(FOLDER) or not file.is_file():
        raise NotFoundError("no such file")
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return FileResponse(file, media_type=media_type, headers={"Cache-Control": "max-age=300"})
