"""The measured site for a WSGI server; OpenTelemetry has to be called before Django loads its middlewares."""

import os

from .site import INSTRUMENTATION


def count_by_opentelemetry(path: str) -> None:
    """Have OpenTelemetry measure requests; what it counted is added to a file when the process ends."""
    import atexit
    from pathlib import Path

    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    DjangoInstrumentor().instrument(meter_provider=MeterProvider([reader], shutdown_on_exit=False))

    @atexit.register
    def tell() -> None:
        Path(path, str(os.getpid())).write_text(reader.get_metrics_data().to_json())


if INSTRUMENTATION == "opentelemetry":
    count_by_opentelemetry(os.environ["BENCHMARK_FOLDER"])

from example_project.wsgi import application  # noqa: E402, F401
