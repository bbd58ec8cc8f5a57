"""What a node hears that wants to join: in, not in, or ask again; never what would let a removed one come back."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from iotdb_cluster.errors import NoLeader, RequestError, StatusCode
from iotdb_cluster.members.clock import Deadline, MonotonicClock
from iotdb_cluster.members.life.changes import (
    AGREE,
    ASK_AGAIN,
    IDENTIFIER_CONFLICT,
    PARTITION_TABLE_UNAVAILABLE,
    NodeChanges,
)
from iotdb_cluster.members.pending import Pending, drive
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.settings import Settings
from iotdb_cluster.types.identity import GroupId, Node, NodeId
from iotdb_cluster.types.membership import Membership

FOUNDERS = [Node(f"10.0.0.{number}", 9003, NodeId(number), 40010) for number in (1, 2, 3)]
NEW = Node("10.0.0.9", 9003, NodeId(9), 40010)
OTHER_WITH_ITS_IDENTIFIER = Node("10.0.0.8", 9003, NEW.identifier, 40010)

Change = Callable[[Roster], Roster]


def joins(roster: Roster) -> Roster:
    """The meta log has the node as one that joins."""
    return roster.after_adding(NEW)


def is_removed(roster: Roster) -> Roster:
    return roster.after_removing(NEW, is_urgent=True)


def arrives(roster: Roster) -> Roster:
    """It became a voter of the meta group, and has its place on the ring."""
    voters = frozenset(node.identifier for node in [*FOUNDERS, NEW])
    return roster.after_membership(Membership(voters), 5)


class Asked:
    """The node that is asked; its meta log brings one of `news` with each look at it, and time is over behind them."""

    def __init__(self, *news: Change, refusal: Exception | None = None) -> None:
        table = PartitionTable.initial(FOUNDERS, replica_num=3, slot_count=30)
        self.roster: Roster | None = Roster.founded(table)
        self.entered = 0
        self._news = list(news)
        self._refusal = refusal
        self._left_ms = 1
        clock: Any = SimpleNamespace(now_ms=lambda: 10**9 if not self._left_ms else 0)
        self.context: Any = SimpleNamespace(clock=clock, settings=Settings())
        self.router: Any = SimpleNamespace(execute_in=self._execute)
        self.news: Any = SimpleNamespace(upcoming=self._upcoming)

    @property
    def state(self) -> Any:
        return SimpleNamespace(roster=self.roster)

    def add(self, node: Node = NEW) -> int:
        """The answer to `addNode`."""
        changes = NodeChanges(self)  # type: ignore[arg-type]
        changes._check = self._believe  # type: ignore[method-assign]
        answer, table = drive(changes.add(node), MonotonicClock())
        assert (answer == AGREE) == (table is not None)
        return answer

    async def _believe(self, new: Node, deadline: Deadline) -> None:
        """Whoever it is, it answers at its address."""

    async def _execute(self, group: GroupId, plans: Sequence[bytes], deadline: Deadline) -> tuple[RequestError | None]:
        self.entered += 1
        if isinstance(self._refusal, NoLeader):
            raise self._refusal
        return (self._refusal,)  # type: ignore[return-value]

    def _upcoming(self) -> Pending[None]:
        told: Pending[None] = Pending()
        told.resolve(None)
        if self.entered and self.roster is not None:
            if self._news:
                self.roster = self._news.pop(0)(self.roster)
            else:
                self._left_ms = 0
        return told


def test_a_node_that_joined_is_told_so() -> None:
    asked = Asked(joins, arrives)
    assert AGREE == asked.add()
    assert 1 == asked.entered


def test_a_node_that_still_joins_when_time_is_over_asks_again() -> None:
    assert ASK_AGAIN == Asked(joins).add()


def test_a_node_that_is_removed_while_it_joins_keeps_asking() -> None:
    # By `hello` it hears that it was removed. With a conflict it would take another identifier, and come back.
    assert ASK_AGAIN == Asked(joins, is_removed).add()


def test_a_node_that_is_removed_before_its_entry_is_seen_here_keeps_asking() -> None:
    assert ASK_AGAIN == Asked(lambda roster: is_removed(joins(roster))).add()


def test_a_node_that_leaves_before_it_has_arrived_keeps_asking() -> None:
    asked = Asked()
    assert asked.roster is not None
    founders = frozenset(node.identifier for node in FOUNDERS)
    learns = joins(asked.roster).after_membership(Membership(founders, frozenset({NEW.identifier})), 5)
    asked.roster = is_removed(learns)
    assert {NEW.identifier} == asked.roster.leaving
    assert ASK_AGAIN == asked.add()
    assert 0 == asked.entered


def test_a_node_with_the_identifier_of_one_that_was_removed_takes_another() -> None:
    asked = Asked()
    assert asked.roster is not None
    asked.roster = is_removed(joins(asked.roster))
    assert IDENTIFIER_CONFLICT == asked.add()


def test_a_node_with_the_identifier_of_another_that_joins_takes_another() -> None:
    asked = Asked()
    assert asked.roster is not None
    asked.roster = joins(asked.roster)
    assert IDENTIFIER_CONFLICT == asked.add(OTHER_WITH_ITS_IDENTIFIER)


@pytest.mark.parametrize(
    ("refusal", "answer"),
    [
        (NoLeader("nobody leads"), ASK_AGAIN),
        (RequestError("the disk is full", code=StatusCode.INTERNAL_SERVER_ERROR), ASK_AGAIN),
        (RequestError("somebody has it", code=StatusCode.METADATA_ERROR), IDENTIFIER_CONFLICT),
    ],
)
def test_an_entry_that_is_refused_is_tried_again_unless_the_identifier_is_taken(
    refusal: Exception, answer: int
) -> None:
    assert answer == Asked(refusal=refusal).add()


def test_a_node_without_a_table_says_so() -> None:
    asked = Asked()
    asked.roster = None
    assert PARTITION_TABLE_UNAVAILABLE == asked.add()
