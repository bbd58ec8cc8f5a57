"""Times to live over whole nodes: told to the meta log, carried out by entries, the same at every node."""

import time

from iotdb_cluster.errors import StorageGroupUnknown
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.time_to_live import expired_until, set_ttl
from iotdb_cluster.timeseries.deletions import LEAST_TIME
from iotdb_cluster.types.plans import DeleteStorageGroupPlan, ExpirePlan, InsertPlan, SetStorageGroupPlan, SetTtlPlan
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.plans import decode_plan, encode_plan
from tests.services.clocks import HandClock
from tests.services.rig import CLUSTER, code, members_of, one_node, read, said, stock, wait_for

HOUR_MS = 3_600_000


def execute(node, plan):
    with stock("TSMetaService", node.meta_address) as client:
        return client.executeNonQueryPlan(CLUSTER.ExecutNonQueryReq(planBytes=encode_plan(plan), header=None))


def row(sg, at):
    return InsertPlan(at, f"{sg}.d", ("s",), ("1",))


def test_what_has_expired_is_gone_at_every_node(trio, new_name):
    sg = new_name()
    for at in (100, 200, 300):
        assert 200 == code(execute(trio[0], row(sg, at)))
    assert 200 == code(execute(trio[1], ExpirePlan(sg, 200)))
    for node in members_of(trio, trio[0].header_of(sg))[:2]:
        assert [(300, 1)] == read(node, f"{sg}.d.s", DataType.INT64)
        number, message = said(execute(node, row(sg, 150)))
        assert 305 == number
        assert f"{sg} up to time 200" in message


def test_a_time_to_live_needs_its_storage_group_and_an_expiry_makes_none(trio, new_name):
    sg = new_name()
    assert 303 == code(execute(trio[0], SetTtlPlan(sg, HOUR_MS)))
    assert 312 == code(execute(trio[0], ExpirePlan(sg, 1)))
    assert 200 == code(execute(trio[0], SetStorageGroupPlan(sg)))
    assert 200 == code(execute(trio[1], SetTtlPlan(sg, HOUR_MS)))
    assert 200 == code(execute(trio[2], SetTtlPlan(sg, None)))
    assert 200 == code(execute(trio[2], DeleteStorageGroupPlan(sg)))
    assert 303 == code(execute(trio[0], SetTtlPlan(sg, None)))


def test_the_leader_of_a_group_lets_things_expire_by_itself(tmp_path):
    with one_node(tmp_path, ttl_check_interval_ms=20) as node:
        now = time.time_ns() // 1_000_000
        for at in (now - 2 * HOUR_MS, now + HOUR_MS):
            assert 200 == code(execute(node, row("root.a", at)))
        assert 2 == len(read(node, "root.a.d.s", DataType.INT64))
        assert 200 == code(execute(node, SetTtlPlan("root.a", HOUR_MS)))
        wait_for(
            lambda: [(now + HOUR_MS, 1)] == read(node, "root.a.d.s", DataType.INT64), "what is too old has expired"
        )


class Told:
    """A router that notes plans, and knows a data group for no storage group."""

    def __init__(self):
        self.plans = []

    async def execute(self, kind, path, plan, deadline):
        self.plans.append(decode_plan(plan))
        assert (kind, path) == (plan[0], self.plans[-1].path)
        if isinstance(self.plans[-1], ExpirePlan):
            raise StorageGroupUnknown("nothing was written to it")


def test_a_time_to_live_counts_from_the_moment_it_is_set():
    clock, router = HandClock(), Told()
    for ttl_ms in (1_000, None):
        run = set_ttl(router, clock, "root.a", ttl_ms, Deadline(1))
        try:
            run.send(None)
        except StopIteration:
            continue
    assert [
        SetTtlPlan("root.a", 1_000),
        ExpirePlan("root.a", 998_999),
        SetTtlPlan("root.a", None),
        ExpirePlan("root.a", LEAST_TIME),
    ] == router.plans
    assert LEAST_TIME == expired_until(5, (1 << 63) - 1 + 10**9)
