"""Training of the encoder in several processes of the cluster, through Ray Train; what they exchange: `graph.crew`.

Only what is trained by sampled neighbours is: on less data one process is done before others have begun.
"""

from __future__ import annotations

from typing import Any

from cluster.filesystems import filesystem_of
from graph.config import EncoderConfig
from graph.dataset import Pairs
from graph.train import Trained, is_sampled, train_encoder

WORKER_CPUS = 0.5
MOST = 8
"""Processes that train together where nobody says how many: each step waits for the slowest."""


def room(asked: int | None) -> int:
    """How many processes train together: as many as asked for, else one for each node while the cluster has room."""
    import ray

    if asked is not None:
        return asked
    nodes = sum(1 for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1)
    free = int(ray.available_resources().get("CPU", 0) - 1)
    return max(1, min(nodes, free, MOST))


class Together:
    """Stands where `train_encoder` stands, and trains in `workers` processes.

    Args:
        folder: path or URL that all nodes reach, for what Ray Train writes while it runs; removed afterwards.
    """

    def __init__(self, workers: int, folder: str) -> None:
        self._workers, self._folder = workers, folder

    def __call__(self, pairs: Pairs, config: EncoderConfig, *more: Any, **named: Any) -> Trained:
        """As `graph.train.train_encoder`.

        Raises:
            ray.train.TrainingFailedError: a process failed or was lost.
        """
        sampled = named.get("sampled")
        if self._workers == 1 or not (is_sampled(pairs, config) if sampled is None else sampled):
            return train_encoder(pairs, config, *more, **named)
        import ray
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        box: Any = ray.remote(num_cpus=0)(_Box).remote()
        given = ray.put(((pairs, config, *more), named | {"sampled": True}))
        trainer = TorchTrainer(
            _member,
            train_loop_config={"given": [given], "box": box},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(
                num_workers=self._workers, resources_per_worker={"CPU": WORKER_CPUS}, placement_strategy="SPREAD"
            ),
            run_config=RunConfig(name="encoder", storage_path=self._folder),
        )
        try:
            trainer.fit()
            found: Trained = ray.get(box.get.remote())
        finally:
            ray.kill(box)
            filesystem, path = filesystem_of(self._folder)
            if filesystem.exists(path):
                filesystem.rm(path, recursive=True)
        return found


class _Box:
    """An actor that hands over what the first process has learnt."""

    def __init__(self) -> None:
        self._held: Trained | None = None

    def put(self, trained: Trained) -> None:
        self._held = trained

    def get(self) -> Trained:
        assert self._held is not None
        return self._held


def _member(given: dict[str, Any]) -> None:
    """What each process runs; torch.distributed is initialised by then."""
    import ray
    from ray import train

    arguments, named = ray.get(given["given"][0])
    found = train_encoder(*arguments, **named)
    if train.get_context().get_world_rank() == 0:
        ray.get(given["box"].put.remote(found))


__all__ = ["Together", "room"]
