"""`@track` on every kind of callable."""

import asyncio
import inspect
from decimal import Decimal
from functools import cache, partial

import pytest
from asgiref.sync import async_to_sync
from celery import Celery
from django.db import transaction
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.views import View

from app_metrics import collect, track
from app_metrics.core.hashing import hash_of
from app_metrics.core.summary import DISTRIBUTION, UNIQUE
from app_metrics.core.uniques import Uniques
from app_metrics.testing.recorded import assert_metric_recorded

TRACKED = track("calls", labels={"plan": "pro"})


@TRACKED
def function(first, /, second: int = 2, *rest, key: str = "k", **more) -> int:
    """Add."""
    return first + second


@TRACKED
async def coroutine(first, /, second: int = 2, *rest, key: str = "k", **more) -> int:
    """Add."""
    return first + second


class CountedCalls:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1


class Service:
    @TRACKED
    def method(self, first, second=2):
        return first + second

    @TRACKED
    async def async_method(self, first, second=2):
        return first + second

    @staticmethod
    @TRACKED
    def static_inside(first, second=2):
        return first + second

    @TRACKED
    @staticmethod
    def static_outside(first, second=2):
        return first + second

    @classmethod
    @TRACKED
    def class_inside(cls, first, second=2):
        assert cls is Service
        return first + second

    @TRACKED
    @classmethod
    def class_outside(cls, first, second=2):
        assert cls is Service
        return first + second


def call(function, *args, **kwargs):
    result = function(*args, **kwargs)
    return async_to_sync(resolve)(result) if inspect.iscoroutine(result) else result


async def resolve(coroutine):
    return await coroutine


SERVICE = Service()
CALLABLES = [
    function,
    coroutine,
    SERVICE.method,
    SERVICE.async_method,
    Service.static_inside,
    SERVICE.static_outside,
    Service.class_inside,
    SERVICE.class_outside,
]


@pytest.mark.parametrize("tracked", CALLABLES, ids=lambda each: each.__name__)
def test_every_kind_of_callable_counts_and_returns_its_result(tracked, recorded):
    assert call(tracked, 1, second=4) == 5
    assert_metric_recorded(recorded, "calls", total=1, labels={"plan": "pro"})


@pytest.mark.parametrize("tracked", [function, coroutine], ids=lambda each: each.__name__)
def test_name_docstring_and_signature_stay(tracked):
    signature = "(first, /, second: int = 2, *rest, key: str = 'k', **more) -> int"
    assert str(inspect.signature(tracked)) == signature
    assert (tracked.__doc__, tracked.__module__) == ("Add.", __name__)


@pytest.mark.parametrize("tracked", CALLABLES, ids=lambda each: each.__name__)
def test_a_tracked_function_is_a_coroutine_function_only_if_it_was_one(tracked):
    assert inspect.iscoroutinefunction(tracked) == (tracked.__name__ in ("coroutine", "async_method"))


def succeed():
    return 3


def fail():
    raise LookupError("what was raised")


async def asucceed():
    return 3


async def afail():
    raise LookupError("what was raised")


PAIRS = pytest.mark.parametrize(("succeeding", "failing"), [(succeed, fail), (asucceed, afail)], ids=["sync", "async"])


@PAIRS
@pytest.mark.parametrize(("when", "total"), [("success", 1), ("error", 10), ("always", 11)])
def test_when_decides_which_outcomes_count(when, total, succeeding, failing, recorded):
    call(track("calls", when=when)(succeeding))
    for _ in range(10):
        with pytest.raises(LookupError, match="what was raised"):
            call(track("calls", when=when)(failing))
    assert recorded.total("calls") == total


@PAIRS
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "labels",
    [{"plan": 5}, {str(each): "" for each in range(20)}, lambda: 1 / 0, lambda: "no mapping"],
    ids=["not str", "too many", "raising", "no mapping"],
)
def test_bad_labels_never_hide_the_error_of_the_call(labels, strict, succeeding, failing, settings, recorded):
    settings.APP_METRICS_STRICT = strict
    with pytest.raises(LookupError, match="what was raised"):
        call(track("calls", when="always", timing=True, labels=labels)(failing))


BAD_OPTIONS = pytest.mark.parametrize(
    "options",
    [{"labels": {"plan": 5}}, {"num": lambda result: 1 / 0}, {"num": lambda result: None}],
    ids=["labels", "num", "no num"],
)


@PAIRS
@BAD_OPTIONS
def test_after_a_success_a_bad_argument_raises_in_strict_mode(options, succeeding, failing, settings, recorded):
    settings.APP_METRICS_STRICT = True
    with pytest.raises((TypeError, ZeroDivisionError)):
        call(track("calls", **options)(succeeding))


@PAIRS
@BAD_OPTIONS
def test_without_strict_a_bad_call_is_counted_as_dropped(options, succeeding, failing, recorded):
    with collect():
        assert call(track("calls", **options)(succeeding)) == 3
    assert recorded.slugs == ["app_metrics_dropped"]


@PAIRS
@pytest.mark.parametrize(("num", "total"), [(5, 5), (Decimal("0.5"), Decimal("0.5")), (lambda result: result * 2, 6)])
def test_num_is_a_number_or_made_of_the_result(num, total, succeeding, failing, recorded):
    call(track("calls", num=num)(succeeding))
    assert_metric_recorded(recorded, "calls", total=total, count=1)


def test_a_num_made_of_the_result_is_one_for_a_call_that_raised(recorded):
    with pytest.raises(LookupError):
        call(track("calls", when="error", num=lambda result: result * 2)(fail))
    assert_metric_recorded(recorded, "calls", total=1)


@PAIRS
def test_a_distribution_is_made_of_the_result(succeeding, failing, recorded):
    call(track("rows", distribution=lambda result: result * 2.5)(succeeding))
    assert_metric_recorded(recorded, "rows", total=Decimal("7.5"), count=1)
    assert [key.kind for batch in recorded.batches for key in batch.summaries] == [DISTRIBUTION]


def test_a_distribution_without_a_number_records_none(recorded):
    call(track("rows", distribution=lambda result: None, timing=True)(succeed))
    assert recorded.slugs == ["rows_seconds"]


def test_a_call_that_raised_has_no_number_for_a_distribution(recorded):
    with pytest.raises(LookupError):
        call(track("rows", when="always", distribution=pytest.fail)(fail))
    assert recorded.slugs == []


def subscribe(user, *, plan):
    pass


async def asubscribe(user, *, plan):
    pass


@pytest.mark.parametrize("subscribing", [subscribe, asubscribe])
def test_a_unique_count_is_made_of_the_arguments(subscribing, recorded):
    tracked = track("users", unique=lambda user, *, plan: user, labels=lambda user, *, plan: {"plan": plan})(
        subscribing
    )
    for user in (7, "7", 8):
        call(tracked, user, plan="pro")
    assert recorded.summary("users", {"plan": "pro"}).uniques == Uniques([hash_of(7), hash_of(8)])
    assert recorded.count("users") == 3
    assert {key.kind for batch in recorded.batches for key in batch.summaries} == {UNIQUE}


@pytest.mark.parametrize("nobody", [None, ""])
def test_a_unique_count_without_an_id_counts_nothing(nobody, recorded):
    track("users", unique=lambda: nobody, timing=True)(succeed)()
    assert recorded.slugs == ["users_seconds"]


def test_a_unique_count_may_count_calls_that_raise(recorded):
    with pytest.raises(LookupError):
        track("affected_users", unique=lambda: 7, when="error")(fail)()
    assert recorded.count("affected_users") == 1


@pytest.mark.parametrize("read", [lambda: {}["ann@example.com"], lambda: ["ann@example.com"]])
def test_an_error_of_a_unique_count_does_not_log_the_id(read, recorded, caplog):
    with collect():
        track("users", unique=read)(succeed)()
    assert recorded.slugs == ["app_metrics_dropped"]
    assert "@track('users')" in caplog.text
    assert "ann@" not in caplog.text


def test_labels_may_be_made_of_the_arguments(recorded):
    @track("calls", labels=lambda plan, *, country: {"plan": plan, "country": country})
    def subscribe(plan, *, country):
        pass

    subscribe("pro", country="DK")
    assert_metric_recorded(recorded, "calls", labels={"plan": "pro", "country": "DK"})


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("sent", ["\x01" * 84, "x" * 300, "a\0b\ud800"])
def test_a_visitor_cannot_make_a_call_uncounted_or_fail_by_a_text_that_is_no_label(sent, strict, settings, recorded):
    settings.APP_METRICS_STRICT = strict
    tracked = track("calls", timing=True, labels=lambda plan: {"plan": plan, "kind": "page"})(lambda plan: plan)
    assert tracked(sent) == sent
    assert (recorded.count("calls"), recorded.count("calls_seconds")) == (1, 1)


@PAIRS
def test_timing_records_seconds_of_the_calls_that_count_under_the_same_labels(succeeding, failing, recorded):
    options = {"when": "error", "timing": True, "labels": {"plan": "pro"}}
    call(track("calls", **options)(succeeding))
    with pytest.raises(LookupError):
        call(track("calls", **options)(failing))
    assert_metric_recorded(recorded, "calls_seconds", count=1, labels={"plan": "pro"})


def test_the_time_of_a_coroutine_includes_its_waiting(recorded):
    @track("calls", timing=True)
    async def wait():
        await asyncio.sleep(0.02)

    asyncio.run(wait())
    assert recorded.total("calls_seconds") >= Decimal("0.02")


def test_a_cancelled_coroutine_is_an_error(recorded):
    @track("calls", when="error")
    async def wait():
        await asyncio.sleep(60)

    async def cancel():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    assert recorded.total("calls") == 1


@pytest.mark.parametrize("rolled_back", [True, False])
def test_with_on_commit_a_call_counts_if_the_transaction_commits(rolled_back, transactional_database, recorded):
    with transaction.atomic():
        track("calls", on_commit=True)(succeed)()
        track("calls_at_once")(succeed)()
        transaction.set_rollback(rolled_back)
        assert recorded.slugs == ["calls_at_once"]
    assert recorded.total("calls") == (not rolled_back)


def test_a_generator_counts_when_it_is_called_not_when_it_is_used_up(recorded):
    numbers = track("calls")(lambda: (each for each in range(3)))()
    assert recorded.total("calls") == 1
    assert list(numbers) == [0, 1, 2]
    assert recorded.total("calls") == 1


@track("views", labels=lambda request, **kwargs: {"method": request.method})
def page(request):
    return HttpResponse("page")


@track("views")
class Page(View):
    def get(self, request):
        return HttpResponse("page")


@track("views")
class AsyncPage(View):
    async def get(self, request):
        return HttpResponse("page")


@pytest.mark.parametrize("view", [page, Page.as_view(), AsyncPage.as_view()], ids=["function", "class", "async class"])
def test_a_view_counts_its_answers(view, recorded):
    factory = AsyncRequestFactory() if inspect.iscoroutinefunction(view) else RequestFactory()
    assert call(view, factory.get("/")).content == b"page"
    assert_metric_recorded(recorded, "views", total=1)


def test_an_asynchronous_view_class_that_raises_is_an_error(recorded):
    @track("errors", when="error")
    class Failing(View):
        async def get(self, request):
            raise LookupError("what was raised")

    with pytest.raises(LookupError, match="what was raised"):
        call(Failing.as_view(), AsyncRequestFactory().get("/"))
    assert recorded.total("errors") == 1


def test_an_asynchronous_view_class_stays_asynchronous():
    assert (AsyncPage.view_is_async, Page.view_is_async) == (True, False)


def test_disabled_tracking_counts_nothing_and_asks_nothing(settings, recorded):
    settings.APP_METRICS_DISABLED = True
    assert track("calls", labels=pytest.fail, num=pytest.fail)(succeed)() == 3
    assert recorded.slugs == []


@pytest.mark.parametrize(
    ("slug", "options", "decorated", "message"),
    [
        ("no slug", {}, succeed, "is not a slug"),
        ("x" * 95, {"timing": True}, succeed, "is not a slug"),
        ("calls", {"when": "never"}, succeed, "choose one of success, error, always"),
        ("calls", {"distribution": len, "num": 2}, succeed, "without num="),
        ("calls", {"distribution": len, "when": "error"}, succeed, "without num="),
        ("calls", {"distribution": 5}, succeed, "a callable that takes the result"),
        ("users", {"unique": len, "num": 2}, succeed, "without num="),
        ("users", {"unique": len, "distribution": len}, succeed, "without num= and distribution="),
        ("users", {"unique": "user.pk"}, succeed, "a callable that takes the call's arguments"),
        ("calls", {}, property(succeed), "@track can decorate functions, methods and View classes"),
        ("calls", {}, Service, "has no dispatch"),
        (succeed, {}, None, "A slug must be a str"),
        ("calls", {}, cache(succeed), "@track would hide .cache_clear and other .*, below other decorators"),
        ("calls", {}, Celery(set_as_current=False).task(succeed), "@track would hide .* directly above the function"),
        ("calls", {}, CountedCalls(), r"@track would hide \.calls .* the method __call__"),
    ],
)
def test_a_mistake_raises_at_decoration(slug, options, decorated, message):
    with pytest.raises((TypeError, ValueError), match=message):
        track(slug, **options)(decorated)


def test_a_partial_can_be_tracked(recorded):
    assert TRACKED(partial(max, 2))(1) == 2
    assert_metric_recorded(recorded, "calls", total=1)


def test_below_a_decorator_with_attributes_a_call_counts_and_they_stay(recorded):
    cached = cache(TRACKED(lambda: 1))
    cached()
    cached()
    assert cached.cache_info().hits == 1
    assert_metric_recorded(recorded, "calls", total=1)
