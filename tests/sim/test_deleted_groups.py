"""A storage group that is deleted while others write to it: never data that only a data group knows of."""

from collections.abc import Coroutine
from typing import Any

import pytest

from iotdb_cluster.errors import RequestError
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.types.plans import DeleteStorageGroupPlan, InsertPlan, PlanKind
from iotdb_cluster.wire.plans import encode_plan
from tests.sim.cluster.node import SimNode
from tests.sim.cluster.scene import Scene


def begin(node: SimNode, work: Coroutine[Any, None, Any]) -> list[Exception | None]:
    """Let a node do something; its error, or None, once it is over."""
    over: list[Exception | None] = []
    node.run(work, lambda _, error: over.append(error))
    return over


def finish(scene: Scene, over: list[Exception | None]) -> Exception | None:
    """Wait until something that was begun is over; what it came to."""
    scene.run_until(lambda: None if over else "a call hangs", 20_000, "a call")
    return over[0]


def insert(node: SimNode, group: str, time: int) -> Coroutine[Any, None, Any]:
    plan = encode_plan(InsertPlan(time, f"{group}.d", ("s",), (str(time),)))
    return node.node.router.execute(PlanKind.INSERT, f"{group}.d", plan, soon(node))


def delete(node: SimNode, group: str) -> Coroutine[Any, None, Any]:
    plan = encode_plan(DeleteStorageGroupPlan(group))
    return node.node.router.execute(PlanKind.DELETE_STORAGE_GROUP, group, plan, soon(node))


def soon(node: SimNode) -> Deadline:
    return Deadline(node.clock.now_ms() + 10_000)


def group_led_by(scene: Scene, node: SimNode) -> str:
    """The name of a storage group whose data group a node leads."""
    table = node.node.state.table
    assert table is not None
    for number in range(100):
        name = f"root.gone{number}"
        if scene.leader(GroupId(table.header_of(slot_of(name)))) is node:
            return name
    raise AssertionError("a node leads nothing")


def every_node_leads(scene: Scene) -> bool:
    """True once each node leads the data group that is called after it."""
    leading = {node.number for node, member in scene.members() if member.header and member.raft.is_leader}
    return len(leading) == len(scene.nodes)


def orphans(scene: Scene) -> set[str]:
    """Storage groups that a data group holds and the meta group does not know."""
    return {
        path
        for node in scene.nodes
        for member in node.node.data_members
        for path in member.store.storage_groups()
        if path not in node.node.state.storage_groups
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_leader_that_has_not_heard_of_the_deletion_does_not_open_the_group_again(seed: int) -> None:
    scene = Scene(seed=f"deleted {seed}").boot()
    scene.run_until(lambda: None if every_node_leads(scene) else "a node leads nothing", 60_000, "the balance")
    meta_leader = scene.leader()
    for writer in [node for node in scene.nodes if node is not meta_leader]:
        group = group_led_by(scene, writer)
        assert (
            finish(scene, begin(meta_leader, meta_leader.node.router.set_storage_group(group, soon(meta_leader))))
            is None
        )
        scene.settle()
        assert finish(scene, begin(writer, insert(writer, group, 1))) is None
        deleting = begin(meta_leader, delete(meta_leader, group))
        outcomes = []
        while not deleting:
            outcomes.append(begin(writer, insert(writer, group, 2)))
            scene.run_ms(1)
        for _ in range(5):
            outcomes.append(begin(writer, insert(writer, group, 3)))
            scene.run_ms(1)
        for outcome in outcomes:
            error = finish(scene, outcome)
            assert error is None or isinstance(error, RequestError)
        assert finish(scene, deleting) is None
        scene.settle()
        assert set() == orphans(scene)
