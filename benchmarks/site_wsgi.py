"""The measured site for a WSGI server; OpenTelemetry instruments it before Django loads its middlewares."""

import atexit
import os
from pathlib import Path

if os.environ["BENCHMARK_INSTRUMENTATION"] == "opentelemetry":
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    DjangoInstrumentor().instrument(meter_provider=MeterProvider([reader], shutdown_on_exit=False))

    @atexit.register
    def write_counts():
        Path(os.environ["BENCHMARK_FOLDER"], str(os.getpid())).write_text(reader.get_metrics_data().to_json())


from example_project.wsgi import application  # noqa: F401
