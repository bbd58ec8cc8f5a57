"""The searched model of votes and membership, and that the core keeps step with it (DESIGN 3.4, 3.5, 3.12, 4.1)."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import LogDiverged
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.effects import Reply
from iotdb_cluster.raft.events import Received
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.raft.messages import AppendRequest, Verdict, VoteRequest
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import EntryId, HardState, NodeId
from iotdb_cluster.types.membership import Membership
from tests.models import membership as model
from tests.models.explore import explore

RULES = model.Model(nodes=5, mark="campaign", **model.FIXED)
"""The rules as they are written now."""


def search(limit: int, **options: Any) -> Any:
    searched = model.Model(**options)
    return explore("", searched.initial(), searched.steps, searched.check, limit=limit)


@pytest.mark.parametrize(
    "options",
    [
        dict(model.PLAIN, terms=1),
        dict(model.PLAIN, length=2),
        dict(model.LATE, length=2),
        dict(model.PROMOTE, length=2, **model.FIXED),
    ],
    ids=["restarts", "restarts, two terms", "a late append", "a promotion"],
)
def test_the_written_rules_hold_in_the_whole_of_a_small_state_space(options: dict[str, Any]) -> None:
    result = search(60_000, **options)
    assert result.complete
    assert {} == result.violations


@pytest.mark.parametrize(
    "case",
    [
        "a learner refuses votes",
        "-11 for every unknown sender",
        "-7 as a hard rule",
        "matched is the last index",
        "matched is only what this run acknowledged",
    ],
)
def test_a_rule_left_out_is_found(case: str) -> None:
    assert search(30_000, **model.SEEDED[case]).violations


# ---- the core decides as the model does ----


def as_membership(name: str) -> Membership:
    """The model's configuration; of two voter sets the last one is the new one."""
    halves, learners = model.CONFIGS[name]
    sets = [frozenset(NodeId(n + 1) for n in half) for half in halves]
    return Membership(sets[-1], frozenset(NodeId(n + 1) for n in learners), sets[0] if len(sets) > 1 else frozenset())


def as_entry(index: int, entry: tuple[int, str]) -> Entry:
    term, what = entry
    if what in model.CONFIGS:
        return Entry(term, index, EntryKind.MEMBERSHIP, as_membership(what).encode())
    return Entry(term, index, EntryKind.PHYSICAL_PLAN, what.encode())


def as_log(log: tuple[tuple[int, str], ...]) -> RaftLog:
    return RaftLog(entries=[as_entry(index, entry) for index, entry in enumerate(log, 1)])


def as_core(number: int, node: Any) -> Raft:
    """A follower in the state of a node of the model."""
    term, vote, log, commit, acked, _, mark = node
    raft = Raft(
        me=NodeId(number + 1),
        settings=RaftSettings(),
        log=as_log(log),
        hard_state=HardState(term, None if vote is None else NodeId(vote + 1)),
        draw=lambda low, high: high,
        mark=None if mark is None else LeftMark(HardState(), EntryId(*mark)),
    )
    raft._state.commit_index = commit
    raft._following.acknowledged = acked
    return raft


configs = st.sampled_from(sorted(model.CONFIGS))
terms = st.integers(0, 3)


@st.composite
def logs(draw: st.DrawFn) -> tuple[tuple[int, str], ...]:
    """A log that begins with a membership; terms never fall."""
    rest = draw(st.lists(st.tuples(terms, st.one_of(st.just(""), st.just("x"), configs)), max_size=4))
    last_terms = sorted(term for term, _ in rest)
    return ((0, draw(configs)), *[(term, what) for term, (_, what) in zip(last_terms, rest, strict=True)])


@st.composite
def nodes(draw: st.DrawFn) -> Any:
    """A follower of the model."""
    log = draw(logs())
    term = max(draw(terms), log[-1][0])
    mark = draw(st.one_of(st.none(), st.tuples(terms, st.integers(1, 5))))
    return (
        term,
        draw(st.one_of(st.none(), st.integers(0, 4))),
        log,
        draw(st.integers(1, len(log))),
        draw(st.integers(0, len(log))),
        None,
        mark,
    )


@given(candidate=st.integers(0, 4), voter=st.integers(0, 4), log=logs(), term=st.integers(0, 5), node=nodes())
@settings(max_examples=300, deadline=None)
def test_the_core_votes_as_the_model_does(candidate: int, voter: int, log: Any, term: int, node: Any) -> None:
    assume(candidate != voter and term >= log[-1][0])
    granted, after = RULES.vote(candidate, log, term, voter, node)
    raft = as_core(voter, node)
    request = VoteRequest(term, NodeId(candidate + 1), EntryId(*RULES.last(log)))
    (reply,) = [effect for effect in raft.step(Received(request, None), 0) if isinstance(effect, Reply)]
    assert granted is (reply.answer.verdict is Verdict.AGREE)
    assert HardState(after[0], None if after[1] is None else NodeId(after[1] + 1)) == raft.hard_state


@given(number=st.integers(0, 4), node=nodes())
@settings(max_examples=200, deadline=None)
def test_the_core_campaigns_and_matches_as_the_model_does(number: int, node: Any) -> None:
    raft = as_core(number, node)
    assert RULES.may_campaign(number, node) is raft._state.may_campaign
    assert RULES.matched_index(node, node[0]) == raft._following.matched


@st.composite
def tails(draw: st.DrawFn, allowed: list[int]) -> tuple[tuple[int, str], ...]:
    """What one leader, or several in turn, appended."""
    return tuple((term, "") for term in sorted(draw(st.lists(st.sampled_from(allowed), max_size=3))))


@given(common=logs(), own=tails([4, 6]), theirs=tails([5, 7]), commit=st.integers(1, 9), behind=st.integers(1, 9))
@settings(max_examples=300, deadline=None)
def test_the_core_takes_an_append_as_the_model_does(
    common: Any, own: Any, theirs: Any, commit: int, behind: int
) -> None:
    """Two logs that part somewhere, each by terms of its own; the append begins at any entry that both have."""
    own_log, leader_log = common + own, common + theirs
    node = (7, None, own_log, min(commit, len(own_log)), 0, None, None)
    assume(behind <= len(common) and behind < len(leader_log))
    agreed, after, fault = RULES.deliver(0, node, 7, leader_log)
    raft = as_core(0, node)
    entries = as_log(leader_log).entries(1, len(leader_log))
    received = Received(AppendRequest(7, entries[behind - 1].id, entries[behind:]), None)
    if fault is not None:
        with pytest.raises(LogDiverged):
            raft.step(received, 0)
        return
    (reply,) = [effect for effect in raft.step(received, 0) if isinstance(effect, Reply)]
    assert agreed is (reply.answer.verdict is Verdict.AGREE)
    assert as_log(after[2]).entries(1, len(after[2])) == raft.log.entries(1, raft.log.last_index)
