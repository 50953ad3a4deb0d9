"""The Redis backend on a real cluster of three nodes."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.db.models import Sum

from app_metrics.aggregation.run import aggregate
from app_metrics.backends.redis.shard import Shard
from app_metrics.core.batch import Batch
from app_metrics.models import Item
from app_metrics.models.creation import create_metric
from app_metrics.transport.loading import load_backend
from tests.support import redis_server
from tests.support.contract import DAY, VARIED, batch_of
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

from .conftest import REDIS

NODES, SLOTS = 3, 16_384
# With fewer, a node gets a much larger part than the others, or none, as docs/scaling.md says.
SHARDS = 16

pytestmark = [pytest.mark.slow, pytest.mark.only_sqlite]


class Cluster:
    """Nodes that share the slots as `redis-cli --cluster create` divides them."""

    def __init__(self, servers: list[Any], nodes: list[Any]) -> None:
        self.servers, self.nodes = servers, nodes

    def join(self) -> None:
        bounds = [round(number * SLOTS / len(self.nodes)) for number in range(len(self.nodes) + 1)]
        for node, server, first, end in zip(self.nodes, self.servers, bounds, bounds[1:], strict=False):
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", bounds.index(first) + 1)
            self.nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)
        wait_until(lambda: all(self.states(node) == {"ok"} for node in self.nodes))

    def states(self, node: Any) -> set[str]:
        """Return the state of the cluster as a node sees it, once that knows all others."""
        info = node.cluster("INFO")
        return {info["cluster_state"]} if int(info["cluster_known_nodes"]) == len(self.nodes) else set()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, settings: Any) -> Iterator[Cluster]:
    """A cluster; the parameter is `cluster-require-full-coverage`, by default `no`."""
    redis = pytest.importorskip("redis")
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    needs_all = getattr(request, "param", "no")
    options = (
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "500",
        "--cluster-require-full-coverage",
        needs_all,
    )
    with ExitStack() as running:
        servers = [running.enter_context(redis_server.configured(*options)) for _ in range(NODES)]
        found = Cluster(servers, [redis.Redis(port=server.port) for server in servers])
        found.join()
        settings.APP_METRICS_REDIS_CLIENT = lambda: redis.RedisCluster(
            host="127.0.0.1", port=servers[0].port, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        settings.APP_METRICS_REDIS_SHARDS = SHARDS
        settings.APP_METRICS_BACKEND = REDIS
        yield found


def counted() -> int:
    return int(Item.objects.aggregate(of=Sum("count"))["of"] or 0)


def test_the_documentation_says_what_part_of_the_batches_the_busiest_node_gets() -> None:
    crc = pytest.importorskip("redis.crc")
    page = (ROOT / "docs" / "scaling.md").read_text()
    nodes = list(map(int, re.search(r"^\| shards \|(.+)\|$", page, re.MULTILINE)[1].replace("nodes", "").split("|")))
    rows = re.findall(r"^\| (\d+) \|((?: \d+ % \|)+)$", page, re.MULTILINE)
    assert len(rows) == 4
    for shards, parts in rows:
        slots = [crc.key_slot(Shard("app_metrics", number)._live.encode()) for number in range(int(shards))]
        found = [Counter(slot * number // SLOTS for slot in slots).most_common(1)[0][1] for number in nodes]
        assert [f"{most / len(slots):.0%}" for most in found] == parts.replace(" ", "").strip("|").split("|")


def refused(backend: Any, batches: list[Batch]) -> list[Batch]:
    """Write batches, and return those that were refused."""
    failed = []
    for batch in batches:
        try:
            backend.write(batch)
        except Exception:  # a cluster's client raises more than RedisError
            failed.append(batch)
    return failed


def test_batches_are_spread_over_all_nodes_and_each_is_drained_once(database: str, cluster: Cluster) -> None:
    backend, batches = load_backend(REDIS), 200
    for _ in range(batches):
        backend.write(Batch(VARIED))
    assert min(node.dbsize() for node in cluster.nodes) > 0
    backend.drain()
    backend.drain()
    assert counted() == batches * sum(each.count for each in VARIED.values())
    assert backend.pending() == []


@pytest.mark.parametrize(("cluster", "are_all_refused"), [("no", False), ("yes", True)], indirect=["cluster"])
def test_what_is_refused_while_a_node_is_away_is_counted_once_when_it_is_written_again(
    database: str, cluster: Cluster, are_all_refused: bool
) -> None:
    backend, batches = load_backend(REDIS), [batch_of("orders") for _ in range(100)]
    cluster.servers[2].process.kill()
    cluster.servers[2].process.wait()
    wait_until(lambda: all(int(node.cluster("INFO")["cluster_slots_fail"]) for node in cluster.nodes[:2]), 60)
    failed = refused(backend, batches)
    assert failed
    assert (failed == batches) == are_all_refused
    with pytest.raises(ExceptionGroup):
        backend.drain()
    cluster.servers[2].start_again()
    wait_until(lambda: all(cluster.states(node) == {"ok"} for node in cluster.nodes), 60)
    wait_until(lambda: not refused(backend, failed), 60)  # the client may not know yet that it is back
    wait_until(lambda: not aggregate().failures, 60)
    assert create_metric("Orders", "orders").total("year", DAY) == 100
