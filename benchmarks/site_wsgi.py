"""The measured site for a WSGI server; OpenTelemetry instruments it before Django loads its middlewares."""

import atexit
import os
from pathlib import Path

if os.environ["BENCHMARK_INSTRUMENTATION"] == "opentelemetry":
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    from benchmarks.peers import OpenTelemetry

    opentelemetry = OpenTelemetry(shutdown_on_exit=False)
    DjangoInstrumentor().instrument(meter_provider=opentelemetry.provider)

    @atexit.register
    def write_count():
        counted = opentelemetry.counted("http.server.duration", **{"http.method": "GET"})
        Path(os.environ["BENCHMARK_FOLDER"], str(os.getpid())).write_text(str(counted))


from example_project.wsgi import application  # noqa: F401
