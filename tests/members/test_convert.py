"""Every message has its own kind of answer, also where several share a number on the wire."""

import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members import convert
from iotdb_cluster.raft.messages import (
    Answer,
    AppendAnswer,
    AppendRequest,
    HeartbeatAnswer,
    Message,
    TimeoutNow,
    Verdict,
    VoteAnswer,
    VoteRequest,
)
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, NodeId

ME = NodeId(7)
NUMBERED: list[tuple[Message, type[Answer]]] = [
    (AppendRequest(5, BEFORE_FIRST, (Entry(5, 1, 4, b""),)), AppendAnswer),
    (VoteRequest(5, ME, EntryId(4, 9)), VoteAnswer),
    (TimeoutNow(5, ME), HeartbeatAnswer),
]


@pytest.mark.parametrize(("message", "kind"), NUMBERED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_number_is_the_answer_that_belongs_to_the_message(message: Message, kind: type[Answer]) -> None:
    assert kind(Verdict.AGREE, 5) == convert.answer(message, -1)
    assert kind(Verdict.NOT_IN_GROUP, 5) == convert.answer(message, -11)
    assert kind(Verdict.STALE_TERM, 8) == convert.answer(message, 8)
    with pytest.raises(MalformedInput):
        convert.answer(message, -6)
    with pytest.raises(MalformedInput):
        convert.answer(message, True)
