"""Bundles: whole or not at all, on a disk and on an object store."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy
import pytest

from cluster.artifacts import MANIFEST, BundleWriter, delete_bundle, open_bundle, read_manifest
from cluster.errors import BundleError

VECTORS = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)


@pytest.fixture(params=["disk", "object store"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "disk":
        yield str(tmp_path / "artifacts" / "graph" / "1")
    else:
        yield f"memory://bucket-{uuid.uuid4().hex}/graph/1"
        fsspec.filesystem("memory").store.clear()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def publish(url: str, vectors: numpy.ndarray = VECTORS) -> str:
    with BundleWriter("graph", meta={"dimension": 4}) as bundle:
        bundle.write_array("items.npy", vectors)
        bundle.write_json("sub/ids.json", ["a", "片"])
        return bundle.publish(url)


def damage(url: str, name: str, content: bytes | None) -> None:
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.rm_file(f"{root}/{name}")
    if content is not None:
        with filesystem.open(f"{root}/{name}", "wb") as stream:
            stream.write(content)


def test_round_trip(url: str, cache: Path) -> None:
    assert publish(url) == url
    folder = open_bundle(url, cache, kind="graph")
    assert folder.parent == cache
    mapped = numpy.load(folder / "items.npy", mmap_mode="r")
    assert numpy.array_equal(mapped, VECTORS)
    assert json.loads((folder / "sub/ids.json").read_text()) == ["a", "片"]
    assert read_manifest(url)["meta"] == {"dimension": 4}
    assert open_bundle(url, cache) == folder
    assert not list(cache.glob("*.partial"))


def test_without_manifest_there_is_no_bundle(url: str, cache: Path) -> None:
    with pytest.raises(BundleError, match="no complete bundle"):
        open_bundle(url, cache)
    publish(url)
    damage(url, MANIFEST, None)
    with pytest.raises(BundleError, match="no complete bundle"):
        open_bundle(url, cache)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("items.npy", None, "lacks its file"),
        ("items.npy", b"short", "bytes"),
        ("sub/ids.json", json.dumps(["b", "片"], ensure_ascii=False).encode(), "checksum"),
        (MANIFEST, b"{", "malformed"),
        (MANIFEST, b"[]", "malformed"),
        (MANIFEST, b'{"format": 99, "kind": "graph", "meta": {}, "files": {}}', "format 99"),
        (
            MANIFEST,
            b'{"format": 1, "kind": "x", "meta": {}, "files": {"../../evil.npy": {"bytes": 1, "sha256": ""}}}',
            "no name",
        ),
    ],
)
def test_damage_is_found_and_nothing_is_cached(
    url: str, cache: Path, name: str, content: bytes | None, message: str
) -> None:
    publish(url)
    damage(url, name, content)
    with pytest.raises(BundleError, match=message):
        open_bundle(url, cache)
    assert not cache.exists() or not list(cache.iterdir())


def test_damaged_cache_is_fetched_again(url: str, cache: Path) -> None:
    publish(url)
    folder = open_bundle(url, cache)
    (folder / "items.npy").write_bytes(b"x")
    assert open_bundle(url, cache) == folder
    assert numpy.array_equal(numpy.load(folder / "items.npy"), VECTORS)
    assert [entry.name for entry in cache.iterdir()] == [folder.name]


def test_bundles_are_immutable(url: str) -> None:
    publish(url)
    with pytest.raises(BundleError, match="already"):
        publish(url)
    delete_bundle(url)
    delete_bundle(url)
    publish(url)


def test_wrong_kind(url: str, cache: Path) -> None:
    publish(url)
    with pytest.raises(BundleError, match="kind"):
        open_bundle(url, cache, kind="adapter")


def test_cache_keeps_three(url: str, cache: Path) -> None:
    folders = [open_bundle(publish(f"{url}-{n}", VECTORS + n), cache) for n in range(5)]
    assert {entry.name for entry in cache.iterdir()} == {folder.name for folder in folders[-3:]}


def test_many_may_open_at_once(tmp_path: Path, cache: Path) -> None:
    url = publish(str(tmp_path / "bundle"))  # fsspec's memory:// has one position per file for all its readers
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(open_bundle(url, cache))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert [entry.name for entry in cache.iterdir()] == [found[0].name]


def test_only_formats_without_code() -> None:
    with BundleWriter("graph") as bundle:
        for name in (
            "model.pkl",
            "model.pt",
            "model.py",
            "model",
            "../x.npy",
            "/x.npy",
            "a//b.npy",
            MANIFEST,
            ".x.npy",
        ):
            with pytest.raises(BundleError):
                bundle.path(name)
        with pytest.raises(ValueError, match="pickle"):
            bundle.write_array("x.npy", numpy.array([object()]))
        with pytest.raises(ValueError, match="JSON"):
            bundle.write_json("x.json", float("nan"))
        folder = bundle.folder
    assert not folder.exists()


def test_unknown_place(cache: Path) -> None:
    with pytest.raises(BundleError, match="cannot be reached"):
        open_bundle("nonsense://x/y", cache)
