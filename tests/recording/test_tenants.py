"""With a schema per tenant, what is recorded for a tenant is written to the schema of that tenant."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from app_metrics import collect, flush, metric
from app_metrics.core.dropped import BAD_ARGUMENT, drop
from app_metrics.models import Item
from app_metrics.recording import collecting, streams
from app_metrics.recording.scope import current_scope, scope_aside
from app_metrics.recording.tenants import new_scope
from app_metrics.testing import capture_metrics
from app_metrics.transport.circuit_breaker import FAILURES
from app_metrics.transport.loading import configured_backend, replaced_backend
from tests.support.contract import batch_of
from tests.support.serving import METRICS, asgi_get, wsgi_get
from tests.support.tenants import Schemas, Tenant, imitate, schema_context
from tests.support.threads import in_thread
from tests.support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")


class Tenants:
    """Serve each request for the tenant that its path names, as the middleware of django-tenants does."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        request.tenant = Tenant(request.path.split("/")[1])
        connections["default"].set_tenant(request.tenant)  # type: ignore[attr-defined]
        return self.get_response(request)


def page(request: HttpRequest, tenant: str) -> HttpResponse:
    metric("visits")
    return HttpResponse("a page")


async def apage(request: HttpRequest, tenant: str) -> HttpResponse:
    metric("visits")
    return HttpResponse("a page")


def invites(request: HttpRequest, tenant: str) -> HttpResponse:
    metric("visits")
    with schema_context("other"):
        metric("invitations")
    return HttpResponse("invited")


def stream(request: HttpRequest, tenant: str) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        metric("parts")
        yield "a part"
        wait_until(lambda: not current_scope() or current_scope().is_empty)  # type: ignore[union-attr]

    async def aparts() -> Any:
        metric("parts")
        yield "a part"
        while not current_scope().is_empty:  # type: ignore[union-attr]
            await asyncio.sleep(0.01)

    return StreamingHttpResponse(aparts() if isinstance(request, ASGIRequest) else parts())


urlpatterns = [
    path("<tenant>/page/", page),
    path("<tenant>/apage/", apage),
    path("<tenant>/invites/", invites),
    path("<tenant>/stream/", stream),
]


@pytest.fixture(autouse=True)
def site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TENANT_APPS = ["app_metrics"]
    settings.SHARED_APPS = ["app_metrics"]
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [METRICS, f"{__name__}.Tenants"]
    imitate(monkeypatch)


@pytest.fixture
def backend() -> Iterator[Schemas]:
    with replaced_backend(backend := Schemas()):
        yield backend


def test_what_a_request_does_for_another_tenant_counts_for_that_tenant(backend: Schemas) -> None:
    wsgi_get("/first/invites/", [])
    assert backend.written == {("first", "visits"): 1, ("other", "invitations"): 1}
    assert connections["default"].schema_name == "first"  # type: ignore[attr-defined]  # as before the write


@pytest.mark.django_db
def test_a_cursor_that_is_open_during_a_write_for_another_tenant_stays_in_its_schema() -> None:
    connection: Any = connections["default"]
    scope = new_scope()
    with schema_context("other"):
        scope.add(("orders", "counter", "{}", 1, time.time()))
    with schema_context("first"), connection.cursor():
        scope.close()
        assert connection.search_path == "first"
    assert Item.objects.count() == 1


@pytest.mark.parametrize("view", ["page", "apage"])
def test_each_request_under_asgi_counts_for_its_tenant(backend: Schemas, view: str) -> None:
    async def visit() -> None:
        await asyncio.gather(*(asgi_get(f"/{tenant}/{view}/", []) for tenant in ("first", "second") * 5))

    asyncio.run(visit())
    assert backend.written == {("first", "visits"): 5, ("second", "visits"): 5}


@pytest.mark.parametrize("get", [wsgi_get, lambda *args: asyncio.run(asgi_get(*args))], ids=["WSGI", "ASGI"])
def test_what_a_thread_writes_of_a_stream_counts_for_its_tenant(
    backend: Schemas, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PAUSE", 0.05)
    get("/first/stream/", [])  # ends once the thread has taken the part
    wait_until(lambda: backend.written == {("first", "parts"): 1})


def test_a_scope_writes_the_events_of_each_tenant_to_the_tenants_schema(backend: Schemas) -> None:
    with collect():
        for tenant in ("first", "second", "first"):
            with schema_context(tenant):
                metric("orders")
    assert backend.written == {("first", "orders"): 2, ("second", "orders"): 1}


def test_a_script_for_many_tenants_holds_no_more_summaries_than_for_one(
    backend: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MAX_SUMMARIES", 10)
    with collect():
        for number in range(35):
            with schema_context(str(number)):
                metric("orders")
        assert len(backend.written) == 30
    assert len(backend.written) == 35


def test_a_script_that_alternates_between_tenants_writes_one_batch_for_each(
    backend: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MAX_SUMMARIES", 10)
    with collect():
        for tenant in ["first", "second", "third"] * 20:
            with schema_context(tenant):
                metric("orders")
        assert backend.tries == 0
    assert backend.tries == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("within", [collect, lambda: schema_context("public")], ids=["in a scope", "without a scope"])
def test_what_waits_for_a_commit_counts_for_the_tenant_who_recorded_it(backend: Schemas, within: Any) -> None:
    with within(), transaction.atomic(), schema_context("first"):
        metric("orders", on_commit=True)
    assert backend.written == {("first", "orders"): 1}


def test_a_flush_in_one_tenants_request_writes_open_scopes_of_other_tenants_to_their_schemas(backend: Schemas) -> None:
    def visit_second() -> None:
        with schema_context("second"):
            flush()

    with collect():
        with schema_context("first"):
            metric("orders")
        in_thread(visit_second)
        assert backend.written == {("first", "orders"): 1}


@pytest.fixture(params=[0])
def configured(request: pytest.FixtureRequest, settings: Any) -> Schemas:
    """The same backend, named by the settings, so that batches may be buffered, for that many seconds, and kept."""
    settings.APP_METRICS_FLUSH_INTERVAL = request.param
    settings.APP_METRICS_BACKEND = "tests.support.tenants.Schemas"
    found = configured_backend().backend
    assert isinstance(found, Schemas)
    return found


def test_a_scope_that_nobody_closes_is_written_to_its_tenants_schema(configured: Schemas) -> None:
    unclosed = new_scope()
    with schema_context("first"):
        unclosed.add(("orders", "counter", "{}", 1, time.time()))
    del unclosed
    wait_until(lambda: configured.written)
    assert configured.written == {("first", "orders"): 1}


@pytest.mark.parametrize("failures", [1, FAILURES + 1], ids=["failed", "never offered"])
def test_kept_batches_are_written_to_their_tenants_schemas(configured: Schemas, failures: int) -> None:
    configured.down = True
    for tenant in ["first"] * failures + ["second"]:
        with schema_context(tenant):
            metric("orders")
    configured.down = False
    flush()
    assert configured.written == {("first", "orders"): failures, ("second", "orders"): 1}


def test_an_idle_tenants_kept_batches_wait_for_its_next_batch_or_a_flush(configured: Schemas) -> None:
    configured.down = True
    with schema_context("first"):
        metric("orders")
    configured.down = False
    with schema_context("second"):
        metric("orders")
    assert configured.written == {("second", "orders"): 1}
    flush()
    assert configured.written == {("first", "orders"): 1, ("second", "orders"): 1}


def test_tenants_whose_tables_are_missing_do_not_stop_the_others(configured: Schemas) -> None:
    broken = [str(number) for number in range(FAILURES + 1)]
    configured.without_tables = {*broken}
    for tenant in [*broken, "healthy"]:
        with schema_context(tenant):
            metric("orders")
    assert configured.written == {("healthy", "orders"): 1}
    configured.without_tables = set()
    flush()
    assert configured.written == {("healthy", "orders"): 1, **{(tenant, "orders"): 1 for tenant in broken}}


def test_a_flush_after_an_outage_passes_tenants_whose_tables_are_missing(configured: Schemas) -> None:
    configured.down = True
    for tenant in ["broken"] * (FAILURES + 1) + ["healthy"]:
        with schema_context(tenant):
            metric("orders")
    configured.down, configured.without_tables = False, {"broken"}
    flush()
    assert configured.written == {("healthy", "orders"): 1}


@pytest.mark.parametrize("repeats", [1, FAILURES], ids=["a batch each", "several batches each"])
def test_a_flush_gives_up_after_three_tries_in_an_outage_however_many_tenants_there_are(
    configured: Schemas, repeats: int
) -> None:
    for tenant in [str(number) for number in range(10) for _ in range(repeats)]:
        with schema_context(tenant):
            configured_backend().keep(batch_of(tenant))
    configured.down = True
    flush()
    assert configured.tries == FAILURES
    assert configured_backend().kept == 10 * repeats


@pytest.mark.parametrize("configured", [600], indirect=True)
def test_buffered_batches_are_written_to_their_tenants_schemas(configured: Schemas) -> None:
    for tenant in ("first", "second", "first"):
        with schema_context(tenant):
            metric("orders")
    assert configured.written == {}
    flush()
    assert configured.written == {("first", "orders"): 2, ("second", "orders"): 1}


@pytest.fixture
def only_tenants(settings: Any) -> None:
    """Only the schemas of tenants have the tables."""
    settings.SHARED_APPS = ["django.contrib.auth"]


NO_TABLES = 'List "app_metrics" in SHARED_APPS, too.'


@pytest.mark.usefixtures("only_tenants")
@pytest.mark.parametrize("interval", [0, 600], ids=["at once", "buffered"])
def test_what_happens_in_a_public_schema_without_tables_is_not_counted(
    settings: Any, caplog: pytest.LogCaptureFixture, interval: int
) -> None:
    settings.APP_METRICS_FLUSH_INTERVAL = interval
    settings.APP_METRICS_BACKEND = "tests.support.tenants.SchemasWithTables"
    metric("visits")
    with schema_context("first"):
        metric("visits")
    flush()
    assert configured_backend().backend.written == {("first", "visits"): 1}  # type: ignore[attr-defined]
    assert NO_TABLES in caplog.text


@pytest.mark.usefixtures("only_tenants")
def test_a_backend_that_needs_no_tables_gets_what_happens_in_the_public_schema(
    configured: Schemas, caplog: pytest.LogCaptureFixture
) -> None:
    metric("visits")
    assert configured.written == {("public", "visits"): 1}
    assert NO_TABLES not in caplog.text


@pytest.mark.usefixtures("only_tenants")
def test_each_destination_of_a_composite_backend_decides_whether_it_needs_tables(settings: Any) -> None:
    settings.APP_METRICS_BACKEND = "app_metrics.backends.composite"
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.db", "tests.support.tenants.Schemas"]
    metric("visits")
    database, other = configured_backend().backend.destinations
    assert other.backend.written == {("public", "visits"): 1}
    assert (database.kept, other.kept) == (0, 0)


@pytest.mark.usefixtures("only_tenants")
def test_capture_metrics_needs_no_tables() -> None:
    with capture_metrics() as recording:
        metric("visits")
    assert recording.slugs == ["visits"]


@pytest.mark.usefixtures("only_tenants")
def test_without_tables_dropped_and_deferred_events_wait_for_a_schema_that_has_them(backend: Schemas) -> None:
    drop(BAD_ARGUMENT, "a test")
    scope_aside().add(("slow", "counter", "{}", 1, time.time()))
    scope_aside().send()  # as a request without the middleware does at its end
    metric("visits")
    with schema_context("first"):
        metric("visits")
    assert {slug for schema, slug in backend.written if schema == "first"} == {"app_metrics_dropped", "slow", "visits"}


def test_an_unknown_alias_raises_no_error(configured: Schemas, settings: Any) -> None:
    settings.SHARED_APPS = []
    settings.APP_METRICS_DATABASE = "nowhere"
    with collect():
        metric("visits")
    metric("visits")
