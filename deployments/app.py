"""`build`: the only place that composes the application.

`serve run deployments.app:build`, a Serve config file (`deployments/serve.yaml`) and `tailorbird serve` all come here.
This file must not postpone the evaluation of annotations: Serve converts the arguments only when it sees a class.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from cluster.config import Settings, load_settings, parse_section
from deployments.check import check_settings
from deployments.finder import Finder
from deployments.ingress import Ingress
from deployments.recommender import Recommender
from deployments.writer import Writer
from graph.config import GraphConfig
from graph.text import find_encoder

_HEALTH_PERIOD_S = 5
_HEALTH_TIMEOUT_S = 20


class AppArgs(BaseModel):
    """Arguments of the application, as `serve run deployments.app:build config=FILE` passes them."""

    model_config = ConfigDict(extra="forbid")

    config: str | None = None
    """The settings file. Default: TAILORBIRD_CONFIG, or `tailorbird.yaml` if there is one."""


def build(args: AppArgs) -> Application:
    """Bind the deployments: `Ingress` in front, `Writer` behind it, `Recommender` inside or beside it, and `Finder`
    where there is a sentence encoder.

    Raises:
        ConfigError: a setting of any part is unknown or malformed.
    """
    args = AppArgs.model_validate(args if isinstance(args, AppArgs) else dict(args))
    settings = load_settings(args.config)
    check_settings(settings)

    writer = _deployment(
        Writer,
        settings.writer.min_replicas,
        settings.writer.max_replicas,
        settings.writer.target_ongoing,
        {"num_cpus": settings.writer.num_cpus, "num_gpus": settings.writer.num_gpus},
        # The engine's own bounded queue answers 429; Serve's must not queue silently in front of it.
        max_ongoing_requests=1000,
    ).bind(settings)
    finder = None
    if _finds(settings):
        finder = _deployment(
            Finder,
            settings.finder.min_replicas,
            settings.finder.max_replicas,
            8.0,
            {"num_cpus": settings.finder.num_cpus},
            max_ongoing_requests=64,
        ).bind(settings)
    recommender = None
    if settings.recommender.binding == "deployment":
        recommender = _deployment(
            Recommender,
            settings.recommender.min_replicas,
            settings.recommender.max_replicas,
            4.0,
            {"num_cpus": settings.recommender.num_cpus},
            max_ongoing_requests=64,
        ).bind(settings, None, finder)
    ingress = _deployment(
        serve.ingress()(Ingress),
        settings.ingress.min_replicas,
        settings.ingress.max_replicas,
        settings.ingress.max_concurrent / 4,
        {"num_cpus": settings.ingress.num_cpus},
        # Above what the gate answers 429 for, so that health checks always get through.
        max_ongoing_requests=settings.ingress.max_concurrent * 2
        + settings.sessions.max_queue * settings.sessions.shards,
        # `tailorbird resize`, or a Serve config file, changes this in running replicas: see `Ingress.reconfigure`.
        user_config={"session_shards": settings.sessions.shards},
    )
    return ingress.bind(settings, writer, recommender, finder)


def _finds(settings: Settings) -> bool:
    """Whether items are to be found by meaning, and can be."""
    encoder = parse_section(GraphConfig, settings.graph, "graph").content.encoder
    return settings.finder.max_replicas > 0 and find_encoder(encoder) is not None


def _deployment(
    cls: type, min_replicas: int, max_replicas: int, target: float, actor_options: dict[str, Any], **options: Any
) -> serve.Deployment:
    scaling = AutoscalingConfig(min_replicas=min_replicas, max_replicas=max_replicas, target_ongoing_requests=target)
    undecorated: serve.Deployment = serve.deployment(cls)  # type: ignore[assignment]
    return undecorated.options(
        name=cls.__name__,
        autoscaling_config=scaling,
        ray_actor_options=actor_options,
        health_check_period_s=_HEALTH_PERIOD_S,
        health_check_timeout_s=_HEALTH_TIMEOUT_S,
        **options,
    )


__all__ = ["AppArgs", "build"]
