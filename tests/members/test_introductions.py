"""Whom a node believes to be who it says, by the starts that its folder remembers (DESIGN 3, "Starts")."""

from types import SimpleNamespace
from typing import Any

import pytest

from iotdb_cluster.members.life.introductions import Introductions
from iotdb_cluster.settings import Settings
from iotdb_cluster.storage.identity import Identity, LocalAddress
from iotdb_cluster.types.identity import Node, NodeId, Start

ME = Node("10.0.0.1", 9003, NodeId(1), 40010)
PEER = Node("10.0.0.2", 9003, NodeId(2), 40010)
HERE = LocalAddress("10.0.0.1", 9003, 40010, 55560)


class Known:
    """Two nodes of one cluster: what one of them knows, and what the other says."""

    def __init__(self) -> None:
        self.in_log: Start | None = None
        self.state: Any = SimpleNamespace(
            node=lambda identifier: PEER, start_of=lambda identifier: self.in_log, is_founded=True
        )
        self.mine = self._introductions(ME, (Start(1, 1),))

    def _introductions(self, node: Node, starts: tuple[Start, ...]) -> Introductions:
        identity = Identity(node.identifier, HERE, cluster_id=bytes(16), starts=starts)
        return Introductions(lambda: node, Settings(), [], lambda: identity, lambda: self.state)

    def fault_of(self, *starts: Start) -> str | None:
        """Why a peer that remembers these starts is refused."""
        return self.mine.fault_of_answer(PEER.identifier, self._introductions(PEER, starts).request())


@pytest.fixture
def known() -> Known:
    return Known()


def test_who_remembers_what_is_known_of_it_is_believed(known: Known) -> None:
    assert None is known.fault_of(Start(1, 11))
    assert None is known.fault_of(Start(1, 11), Start(2, 12))
    known.in_log = Start(3, 13)
    assert None is known.fault_of(Start(3, 13), Start(4, 14))


def test_who_has_forgotten_what_it_said_here_is_an_old_copy(known: Known) -> None:
    known.fault_of(Start(1, 11), Start(2, 12))
    assert "start number 2" in str(known.fault_of(Start(1, 11)))
    assert "start number 2" in str(known.fault_of(Start(1, 11), Start(2, 99)))


def test_who_has_forgotten_what_the_meta_log_knows_is_an_old_copy_whatever_it_said_here(known: Known) -> None:
    known.fault_of(Start(1, 11))
    known.in_log = Start(3, 13)
    assert "start number 3" in str(known.fault_of(Start(1, 11), Start(2, 12), Start(3, 99)))
