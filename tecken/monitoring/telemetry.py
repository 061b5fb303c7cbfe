"""Export of traces, errors and worker metrics. Each is off unless its setting is set.

The libraries are imported only when they are used. Exporters have threads, which do not survive a fork: each
process starts them after it was forked. No request or job waits for an exporter.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import beat_init, celeryd_init, worker_process_init, worker_process_shutdown, worker_ready
from django.conf import settings
from structlog.contextvars import get_contextvars

from tecken import metrics
from tecken.monitoring import logs
from tecken.monitoring.logs import mask_deeply

logger = logging.getLogger(__name__)
EXPORT_SECONDS = 5.0
SERVICE = "tecken"


def start() -> None:
    """Start the exporters of a web process, before Django is set up."""
    report_errors()
    trace()


def report_errors() -> None:
    """Send each error of the log to SENTRY_DSN, masked, with the ids of its request and job.

    Every failure is logged, so nothing else has to be instrumented.
    """
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk  # noqa: PLC0415 - only where it is used
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger  # noqa: PLC0415

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.ENVIRONMENT,
        # The default integrations patch libraries and add data of requests, which may hold secrets.
        default_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            AtexitIntegration(),
            DedupeIntegration(),
            ExcepthookIntegration(),
        ],
        before_send=_mask_event,
        # Local variables hold keys and passwords in forms that no mask recognises.
        include_local_variables=False,
        auto_session_tracking=False,
    )
    # The line of a failed request: its cause has a line of its own.
    ignore_logger(logs.logger.name)


def _mask_event(event: Any, _hint: object) -> Any:
    return {**mask_deeply(event), "tags": get_contextvars()}


def trace() -> None:
    """Send traces to OTEL_EXPORTER_OTLP_ENDPOINT. The SDK reads the other OTEL_* variables itself."""
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    from opentelemetry import trace as tracing  # noqa: PLC0415 - only where they are used
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.django import DjangoInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.redis import RedisInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    attributes = {"service.name": SERVICE, "deployment.environment.name": settings.ENVIRONMENT}
    provider = TracerProvider(resource=Resource(attributes).merge(OTELResourceDetector().detect()))
    endpoint = f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS)))
    tracing.set_tracer_provider(provider)
    for library in (DjangoInstrumentor, CeleryInstrumentor, RedisInstrumentor):
        library().instrument()


@celeryd_init.connect  # type: ignore[untyped-decorator]
@beat_init.connect  # type: ignore[untyped-decorator]
def _report_errors(**_more: object) -> None:
    # Before the children are forked, so that their errors are sent too, by a thread of each.
    report_errors()


@beat_init.connect  # type: ignore[untyped-decorator]
@worker_process_init.connect  # type: ignore[untyped-decorator]
def _trace(**_more: object) -> None:
    trace()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _flush(**_more: object) -> None:
    # Such a process ends without running exit handlers.
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        from opentelemetry import trace as tracing  # noqa: PLC0415 - only where it is used

        tracing.get_tracer_provider().shutdown()  # type: ignore[attr-defined]


@worker_ready.connect  # type: ignore[untyped-decorator]
def _serve_metrics(**_more: object) -> None:
    # The worker's main process serves the metrics of all its children.
    if not settings.WORKER_METRICS_PORT:
        return
    try:
        metrics.serve(settings.WORKER_METRICS_PORT, settings.PROMETHEUS_MULTIPROC_DIR)
    except OSError as error:
        logger.warning(
            "Could not start the worker metrics server on port %d: %s", settings.WORKER_METRICS_PORT, error
        )
