"""The routes for operators: `/health`, `/ready`, `/metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from translora.serve.protocols.own import service_of
from translora.serve.refusals import RefusalError

router = APIRouter(tags=["operation"])


@router.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Whether the server works at all."""
    if not service_of(request).batcher.alive:
        raise RefusalError(503, "the worker has ended")
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> dict[str, str]:
    """Whether the server takes requests: not while it is going down."""
    service = service_of(request)
    if service.draining or not service.batcher.alive or not len(service.models):
        raise RefusalError(503, "not ready")
    return {"status": "ready"}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The figures, in Prometheus' format."""
    return Response(service_of(request).metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})
