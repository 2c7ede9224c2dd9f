"""Artifacts: immutable folders of arrays and JSON, published whole or not at all, cached on the node for mapping.

A bundle is complete when its `manifest.json` is there, which is written last and holds the size and the SHA-256 of
every file; object stores have no atomic rename, so this order is what makes a half-published bundle visible as such.
URLs are local paths or whatever fsspec knows (`s3://`, `gs://`, `memory://`). Only formats that cannot carry code are
allowed: safetensors, npy, Parquet, FAISS, JSON.

In the node cache a bundle is a folder named by the digest of its manifest: the same name is the same content.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cluster.errors import BundleError
from cluster.filesystems import filesystem_of

if TYPE_CHECKING:
    import numpy

MANIFEST = "manifest.json"
FORMAT = 1
SUFFIXES = frozenset({".safetensors", ".npy", ".parquet", ".faiss", ".json"})
KEEP_IN_CACHE = 3
"""Bundles of a cache folder that stay: the one just opened, and the two before it for a way back."""
PARTIAL_AGE_S = 3_600
"""A partial folder of the cache this old belongs to a process that died."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class BundleWriter:
    """Gathers a bundle's files in a temporary folder and publishes them. A context manager, which cleans up.

    Args:
        kind: what the bundle is, for example `graph`; kept in the manifest and checked when it is opened.
        meta: JSON to keep in the manifest, for example what it was made from.
    """

    def __init__(self, kind: str, meta: Mapping[str, Any] | None = None) -> None:
        self.kind = kind
        self.meta = dict(meta or {})
        self.folder = Path(tempfile.mkdtemp(prefix="tailorbird-bundle-"))

    def path(self, name: str) -> Path:
        """Where a file of this name has to be written.

        Raises:
            BundleError: the name is not plain, or its format is not allowed.
        """
        _check_name(name)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, name: str, value: Any) -> None:
        """A JSON file; numbers that JSON does not have are refused."""
        self.path(name).write_text(json.dumps(value, ensure_ascii=False, allow_nan=False), encoding="utf-8")

    def write_array(self, name: str, array: numpy.ndarray) -> None:
        """An npy file, without pickled objects; can be mapped with `numpy.load(path, mmap_mode="r")`."""
        import numpy

        numpy.save(self.path(name), array, allow_pickle=False)

    def publish(self, url: str) -> str:
        """Copy all files to a URL, the manifest last, and return the URL.

        Raises:
            BundleError: something is there already; bundles are immutable.
        """
        filesystem, root = _filesystem(url)
        target = f"{root}/{MANIFEST}"
        if filesystem.exists(target):
            raise BundleError(f"a bundle is at {url!r} already")
        files = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(self.folder).as_posix()
                _check_name(name)
                files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        manifest = {
            "format": FORMAT,
            "kind": self.kind,
            "created_ms": time.time_ns() // 1_000_000,
            "files": files,
            "meta": self.meta,
        }
        for name in files:
            filesystem.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
            filesystem.put_file(str(self.folder / name), f"{root}/{name}")
        if _is_local(filesystem):
            for name in files:
                _sync(Path(root) / name)
        partial = f"{target}.{uuid.uuid4().hex}" if _is_local(filesystem) else target
        with filesystem.open(partial, "wb") as stream:
            stream.write(json.dumps(manifest, ensure_ascii=False, allow_nan=False).encode())
        if partial != target:  # on a disk a file appears before it is whole; a rename does not
            _sync(Path(partial))
            os.replace(partial, target)
            _sync(Path(root))
        return url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def read_manifest(url: str) -> dict[str, Any]:
    """The manifest of a published bundle.

    Raises:
        BundleError: there is none, or it is malformed or of an unknown format.
    """
    return _parse_manifest(url, _read_manifest_bytes(url))


def open_bundle(url: str, cache_dir: Path, kind: str | None = None) -> Path:
    """A verified copy of a bundle on this node; its files may be mapped. Blocks; may be called by many processes.

    Raises:
        BundleError: the bundle is incomplete, altered, of another kind or of an unknown format.
    """
    raw = _read_manifest_bytes(url)
    manifest = _parse_manifest(url, raw)
    if kind is not None and manifest["kind"] != kind:
        raise BundleError(f"the bundle at {url!r} is of kind {manifest['kind']!r}, not {kind!r}")
    cached = cache_dir / hashlib.sha256(raw).hexdigest()[:32]
    if _fault(cached, manifest["files"]) is not None:
        _fetch(url, raw, manifest, cached)
    os.utime(cached)
    _prune(cache_dir, cached)
    return cached


def delete_bundle(url: str) -> None:
    """Delete a published bundle, its manifest first, so that no half of it looks whole. Harmless when repeated."""
    filesystem, root = _filesystem(url)
    if filesystem.exists(f"{root}/{MANIFEST}"):
        filesystem.rm_file(f"{root}/{MANIFEST}")
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)


def _fetch(url: str, raw: bytes, manifest: dict[str, Any], cached: Path) -> None:
    filesystem, root = _filesystem(url)
    cached.parent.mkdir(parents=True, exist_ok=True)
    partial = cached.with_name(f"{cached.name}.{uuid.uuid4().hex}.partial")
    try:
        for name in manifest["files"]:
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                filesystem.get_file(f"{root}/{name}", str(target))
            except FileNotFoundError:
                raise BundleError(f"the bundle at {url!r} lacks its file {name!r}") from None
        fault = _fault(partial, manifest["files"])
        if fault is not None:
            raise BundleError(f"the bundle at {url!r} is damaged: {fault}")
        (partial / MANIFEST).write_bytes(raw)
        try:
            os.rename(partial, cached)
        except OSError:  # another process was faster, or what is there is damaged
            if _fault(cached, manifest["files"]) is not None:
                os.rename(cached, partial.with_suffix(".bad.partial"))
                os.rename(partial, cached)
    finally:
        for rest in cached.parent.glob(f"{partial.name.removesuffix('.partial')}*.partial"):
            shutil.rmtree(rest, ignore_errors=True)


def _fault(folder: Path, files: Mapping[str, Any]) -> str | None:
    """What is wrong with a folder's files, None when nothing is."""
    if not folder.is_dir():
        return "it is not there"
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name!r} is missing"
        if path.stat().st_size != expected["bytes"]:
            return f"{name!r} has {path.stat().st_size} bytes, not {expected['bytes']}"
        if _sha256(path) != expected["sha256"]:
            return f"{name!r} has a wrong checksum"
    return None


def _prune(cache_dir: Path, keep: Path) -> None:
    """Leave the newest bundles only. A process that has mapped an older one keeps its pages."""
    folders = []
    for entry in cache_dir.iterdir():
        try:
            modified = entry.stat().st_mtime
        except FileNotFoundError:  # another process prunes too
            continue
        if entry.suffix != ".partial":
            folders.append((modified, entry))
        elif time.time() - modified > PARTIAL_AGE_S:
            shutil.rmtree(entry, ignore_errors=True)
    for _, entry in sorted(folders, reverse=True)[KEEP_IN_CACHE:]:
        if entry != keep:
            shutil.rmtree(entry, ignore_errors=True)


def _read_manifest_bytes(url: str) -> bytes:
    filesystem, root = _filesystem(url)
    try:
        raw: bytes = filesystem.cat_file(f"{root}/{MANIFEST}")
    except FileNotFoundError:
        raise BundleError(f"no complete bundle is at {url!r}: {MANIFEST} is missing") from None
    return raw


def _parse_manifest(url: str, raw: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(raw)
        known = manifest["format"] == FORMAT
        for name, expected in manifest["files"].items():
            _check_name(name)
            if not isinstance(expected["bytes"], int) or not isinstance(expected["sha256"], str):
                raise TypeError("a size or checksum is malformed")
        manifest["kind"], manifest["meta"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"the manifest of {url!r} is malformed: {error!r}") from None
    if not known:
        raise BundleError(f"the bundle at {url!r} has format {manifest['format']!r}, this program reads {FORMAT}")
    return manifest


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name == MANIFEST:
        raise BundleError(f"{name!r} is no name for a file of a bundle")
    if Path(name).suffix not in SUFFIXES:
        raise BundleError(f"{name!r} is of a format that bundles may not hold; allowed: {', '.join(sorted(SUFFIXES))}")


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        filesystem, root = filesystem_of(url)
    except (ImportError, ValueError, OSError) as error:
        raise BundleError(f"{url!r} cannot be reached: {error}") from None
    return filesystem, root.rstrip("/")


def _is_local(filesystem: Any) -> bool:
    protocol = filesystem.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Bring a file or folder to disk: a pointer to it may be there after a power failure, so must it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
