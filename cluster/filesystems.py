"""Where a path or URL leads: one way to a file system for artifacts and for jobs."""

from __future__ import annotations

from typing import Any


def filesystem_of(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it."""
    import fsspec

    # pyarrow carries its own clients for object stores; fsspec would want a package for each.
    if url.startswith(("s3://", "gs://")):
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow.fs import FileSystem

        filesystem, path = FileSystem.from_uri(url)
        return ArrowFSWrapper(filesystem), path
    return fsspec.url_to_fs(url)


def native(stream: Any) -> Any:
    """An opened file as pyarrow reads it best: its own, where it is one in fsspec's clothes.

    On Google Cloud Storage only this can be read as Parquet: asking for a file's size by going to its end fails there.
    """
    import pyarrow as pa

    inner = getattr(stream, "stream", None)
    return inner if isinstance(inner, pa.NativeFile) else stream
