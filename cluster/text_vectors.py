"""Text vectors as they are kept beside the versions: Parquet files of texts' digests and vectors, each written once.

They lie in `<artifacts_url>/text-vectors/<encoder>/`. A refresh writes them, so that only new and changed texts are
embedded again; who only reads takes the files one by one, a part at a time.
"""

from __future__ import annotations

import hashlib
import logging
import posixpath
import uuid
from collections.abc import Iterator, Sequence

import numpy as np

from cluster.filesystems import filesystem_of, native

log = logging.getLogger("tailorbird.text_vectors")

PART = 8_192
"""Rows that are read at once."""


def digest_of(text: str) -> str:
    """What a text is found by."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class VectorFiles:
    """The files of one encoder.

    Args:
        url: where versions are published.
        encoder: its name (`graph.text.encoder_name`).
    """

    def __init__(self, url: str, encoder: str) -> None:
        self._filesystem, root = filesystem_of(f"{url.rstrip('/')}/text-vectors/{encoder}")
        self._root = root.rstrip("/")

    def paths(self) -> list[str]:
        """All files that are there now."""
        self._filesystem.invalidate_cache()
        if not self._filesystem.exists(self._root):
            return []
        return sorted(path for path in self._filesystem.find(self._root) if path.endswith(".parquet"))

    def read(self, path: str) -> Iterator[tuple[list[str], np.ndarray]]:
        """Digests (n) and vectors (n, d) float32 of a file, in parts. A file that is gone or broken gives none."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._filesystem.open(path, "rb") as stream:
                for part in pq.ParquetFile(native(stream)).iter_batches(PART):
                    flat = np.asarray(part.column("vector").flatten(), dtype=np.float32)
                    yield part.column("digest").to_pylist(), flat.reshape(len(part), -1)
        except (FileNotFoundError, KeyError, pa.ArrowException) as error:  # removed by another job, or not ours
            log.warning("%s is left out: %s", path, error)

    def write(self, digests: Sequence[str], vectors: np.ndarray) -> str:
        """Make a file of vectors (n, d); its path."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
        table = pa.table(
            {"digest": pa.array(list(digests)), "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])}
        )
        self._filesystem.makedirs(self._root, exist_ok=True)
        path = posixpath.join(self._root, f"{uuid.uuid4().hex}.parquet")
        part = f"{path}.part"
        with self._filesystem.open(part, "wb") as stream:
            pq.write_table(table, stream)
        self._filesystem.mv(part, path)
        return path

    def remove(self, path: str) -> None:
        """Delete a file, if it is still there."""
        if self._filesystem.exists(path):
            self._filesystem.rm_file(path)
