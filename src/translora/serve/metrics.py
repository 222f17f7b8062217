"""What an operator measures, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LINES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The counters of one server."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        """`waiting` tells how many lines wait in the queue."""
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry, "namespace": "translora"}
        self.requests = Counter("requests", "Requests, by route and status", ["route", "status"], **made)
        self.latency = Histogram("request_seconds", "Time to the answer", ["route"], buckets=_SECONDS, **made)
        self.under_way = Gauge("requests_under_way", "Requests that are being answered", **made)
        self.lines = Counter("lines", "Lines translated, by model", ["model"], **made)
        self.characters = Counter("characters", "Characters of the sources, by model", ["model"], **made)
        self.source_tokens = Counter("source_tokens", "Tokens of the sources, with prompt and end", ["model"], **made)
        self.target_tokens = Counter("target_tokens", "Tokens of the translations, with their end", ["model"], **made)
        self.batch_lines = Histogram("batch_lines", "Lines under way in a step", buckets=_LINES, **made)
        self.model_batch_lines = Histogram(
            "model_batch_lines", "Lines of a model under way in a step", ["model"], buckets=_LINES, **made
        )
        self.step_seconds = Histogram(
            "step_seconds",
            "Time of a step, a token of each line, or of a batch",
            buckets=_STEP_SECONDS,
            **made,
        )
        self.queue_seconds = Histogram("queue_seconds", "Time of a request in the queue", buckets=_SECONDS, **made)
        Gauge("queue_lines", "Lines that wait for the worker", **made).set_function(waiting)

    def step(self, lines: Mapping[str, int], seconds: float) -> None:
        """A step of a search, or a batch, of so many lines of each model took so long."""
        self.batch_lines.observe(sum(lines.values()))
        for model, own in lines.items():
            self.model_batch_lines.labels(model).observe(own)
        self.step_seconds.observe(seconds)

    def waited(self, seconds: float) -> None:
        """A request left the queue after so long."""
        self.queue_seconds.observe(seconds)

    def translated(self, model: str, source_tokens: int, target_tokens: int) -> None:
        """A model read and wrote so many tokens for a request."""
        self.source_tokens.labels(model).inc(source_tokens)
        self.target_tokens.labels(model).inc(target_tokens)

    def forget(self, model: str) -> None:
        """Drop the figures of a removed model."""
        counters = self.lines, self.characters, self.source_tokens, self.target_tokens, self.model_batch_lines
        for counter in counters:
            try:
                counter.remove(model)
            except KeyError:
                continue

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)
