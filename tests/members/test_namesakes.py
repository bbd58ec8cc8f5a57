"""A newcomer may draw the identifier of another node: what `hello` says to it then."""

from types import SimpleNamespace
from typing import Any

from iotdb_cluster.members import structs
from iotdb_cluster.members.life.introductions import Introductions
from iotdb_cluster.settings import Settings
from iotdb_cluster.types.identity import Node, NodeId, Start

ME = Node("10.0.0.1", 9003, NodeId(1), 40010)
OTHER = Node("10.0.0.2", 9003, NodeId(2), 40010)
CLUSTER = bytes(16)


def introductions_of(node: Node, start: Start, *, cluster: bytes | None, known: dict[NodeId, Start]) -> Introductions:
    members = {each.identifier: each for each in (ME, OTHER)} if cluster else {}
    state: Any = SimpleNamespace(
        node=members.get, start_of=known.get, tombstones=frozenset(), nodes=tuple(members.values()), applied=9,
        is_founded=cluster is not None,
    )  # fmt: skip
    identity: Any = SimpleNamespace(cluster_id=cluster, start=start, recent_starts=())
    return Introductions(lambda: node, Settings(), [], lambda: identity, lambda: state)


def answer_to(caller: Node, start: Start, cluster: bytes | None) -> tuple[str | None, Node | None]:
    """What node 1 answers, knowing that node 2 was started twice: its refusal, and for whom it takes the caller."""
    here = introductions_of(ME, Start(1, 7), cluster=CLUSTER, known={OTHER.identifier: Start(2, 5)})
    there = introductions_of(caller, start, cluster=cluster, known={})
    answer, peer = here.answer(there.request())
    assert isinstance(answer, type(structs.HelloAnswer()))
    return answer.refusal, None if peer is None else peer.node


def test_a_newcomer_that_drew_the_identifier_of_another_is_no_old_copy_and_not_that_node() -> None:
    # It may ask to be added, and is told of the conflict: -5. As an old copy it would never start again.
    newcomer = Node("10.0.0.9", 9003, OTHER.identifier, 40010)
    assert (None, None) == answer_to(newcomer, Start(1, 3), None)
    # Nor has it changed what is known of the other one.
    assert (None, OTHER) == answer_to(OTHER, Start(3, 1), CLUSTER)
