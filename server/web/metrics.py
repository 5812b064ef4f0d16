"""`/metrics`: counts and durations of requests, runs and jobs, in the format of Prometheus."""

import time
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fathom.harness.db.read import count_by_state
from fathom.server.web.health import count_queue
from fathom.server.web.render import READ

router = APIRouter(include_in_schema=False)

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics:
    """The counters of one application."""

    def __init__(self, db: Engine) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Stored(db))
        names = ["method", "route", "status"]
        self.requests = Counter("fathom_requests", "Requests answered.", names, registry=self.registry)
        self.seconds = Histogram(
            "fathom_request_seconds", "Seconds to the last byte.", names[1:2], registry=self.registry
        )


class _Stored(Collector):
    def __init__(self, db: Engine) -> None:
        self._db = db

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Count the stored runs by state, and the queue."""
        gauge = GaugeMetricFamily("fathom_runs", "Runs stored, by state.", labels=["state"])
        for state, n in count_by_state(self._db).items():
            gauge.add_metric([state], n)
        yield gauge
        queue = count_queue(self._db)
        for name, words, numbers in (
            ("fathom_submissions", "Submissions, by state.", queue.submissions),
            ("fathom_jobs", "Jobs, by state.", queue.jobs),
        ):
            gauge = GaugeMetricFamily(name, words, labels=["state"])
            for state, n in numbers.items():
                gauge.add_metric([state], n)
            yield gauge
        for name, words, number in (
            ("fathom_oldest_waiting_seconds", "Age of the oldest queued job.", queue.oldest_waiting),
            ("fathom_heartbeat_age_seconds", "Age of the oldest heartbeat among leased jobs.", queue.oldest_heartbeat),
            ("fathom_workers", "Workers seen in the last minute.", queue.n_workers),
            ("fathom_uploads_in_flight", "Uploads that are not complete.", queue.n_uploads),
        ):
            yield GaugeMetricFamily(name, words, number)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Describe a gauge without a query."""
        yield GaugeMetricFamily("fathom_runs", "Runs stored, by state.", labels=["state"])


class CountRequests:
    """Counts each request under the pattern of its route, so that many addresses need no memory."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)


@router.api_route("/metrics", methods=READ)
def show_metrics(request: Request) -> Response:
    """Return all counters."""
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
