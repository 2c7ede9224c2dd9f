"""S3 and Google Cloud Storage: files to ingest, files that are exported, versions and text vectors, on real servers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.artifacts import BundleWriter, delete_bundle, open_bundle
from cluster.errors import BundleError
from cluster.filesystems import filesystem_of
from cluster.text_vectors import digest_of
from jobs.embedding import TextVectors
from tests.jobs.conftest import RunJob
from tests.object_store import gcs_server, s3_server


@pytest.fixture(scope="module", params=["s3://shop", "gs://anonymous@shop"])
def bucket(request: pytest.FixtureRequest) -> Iterator[str]:
    server = s3_server if request.param.startswith("s3") else gcs_server
    with server("shop") as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield request.param


def put(url: str, content: bytes) -> str:
    filesystem, path = filesystem_of(url)
    with filesystem.open(path, "wb") as stream:
        stream.write(content)
    return url


def test_files_in_a_bucket_are_ingested_and_exported(bucket: str, run_job: RunJob, tmp_path: Path) -> None:
    rows = "".join(f"e{n},u{n % 9},i{n % 5},click,1767225600\n" for n in range(3000))
    events = put(f"{bucket}/in/e.csv.gz", gzip.compress(b"event_id,user_id,item_id,type,timestamp\n" + rows.encode()))
    pq.write_table(pa.table({"item_id": [f"i{n}" for n in range(5)], "title": list("ABCDE")}), tmp_path / "i.parquet")
    items = put(f"{bucket}/in/i.parquet", (tmp_path / "i.parquet").read_bytes())
    ran = run_job("jobs.ingest", "--events", events, "--items", items)
    assert ran.code == 0, ran.stderr
    assert ran.result["events"]["new"] == 3000 and ran.result["items"] == {"rows": 5, "rejected": 0}

    broken = put(f"{bucket}/in/b.jsonl", b'{"user_id": "u", "item_id": "i", "type": "view"}\n{"user_id": "u"}\n')
    stopped = run_job("jobs.ingest", "--events", broken)
    assert stopped.code == 2 and stopped.result["place"].startswith(f"{broken}, line 2")
    missing = run_job("jobs.ingest", "--events", f"{bucket}/in/none.csv")
    assert missing.code == 2 and "none.csv" in missing.result["place"]

    out = run_job("jobs.export", "--items", f"{bucket}/out/items.jsonl")
    assert out.code == 0, out.stderr
    filesystem, path = filesystem_of(f"{bucket}/out/items.jsonl")
    lines = filesystem.cat_file(path).splitlines()
    assert [json.loads(line)["title"] for line in lines] == list("ABCDE")


def test_a_version_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    url = f"{bucket}/versions/graph/1"
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    with BundleWriter("graph", meta={"n": 1}) as bundle:
        bundle.write_array("a/vectors.npy", vectors)
        bundle.publish(url)
        with pytest.raises(BundleError, match="already"):
            bundle.publish(url)
    folder = open_bundle(url, tmp_path / "cache", kind="graph")
    assert np.array_equal(np.load(folder / "a/vectors.npy", mmap_mode="r"), vectors)
    filesystem, path = filesystem_of(f"{url}/a/vectors.npy")
    filesystem.rm_file(path)
    with pytest.raises(BundleError):
        open_bundle(url, tmp_path / "another-cache")
    delete_bundle(url)
    assert not filesystem.exists(filesystem_of(f"{url}/manifest.json")[1])


def test_text_vectors_in_a_bucket(bucket: str) -> None:
    TextVectors(bucket, "encoder").put([digest_of("é")], np.ones((1, 3), dtype=np.float32))
    again = TextVectors(bucket, "encoder")
    assert again["é"].tolist() == [1.0, 1.0, 1.0] and "a" not in again
