"""A follower: which entries it takes, when it truncates, and how far it commits (rule 3.4)."""

import pytest

from iotdb_cluster.errors import LogDiverged
from iotdb_cluster.raft.effects import SaveEntries
from iotdb_cluster.raft.messages import AppendRequest, Heartbeat, HeartbeatAnswer, Verdict
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import EntryId, NodeId
from tests.raft.group import FOUNDING, Group, entry

OLD = [entry(1, 2, "a"), entry(1, 3, "b"), entry(1, 4, "c")]


def append(group: Group, prev: EntryId, *entries: Entry, term: int = 2) -> Verdict:
    return group.receive(2, AppendRequest(term, prev, entries)).verdict


def beat(group: Group, commit: int, *, term: int = 2) -> None:
    group.receive(2, Heartbeat(term, NodeId(1), commit))


def follower(**options: object) -> Group:
    return Group(1, 2, 3, logs={2: list(OLD)}, **options)  # type: ignore[arg-type]


def test_entries_behind_an_unknown_one_are_refused() -> None:
    group = follower()
    assert Verdict.LOG_MISMATCH is append(group, EntryId(1, 9), entry(2, 10))
    assert Verdict.LOG_MISMATCH is append(group, EntryId(2, 3), entry(2, 4))
    assert [(2, 1), (3, 1), (4, 1)] == group.positions(2)


def test_a_real_conflict_replaces_what_is_there_and_everything_behind_it() -> None:
    group = follower()
    assert Verdict.AGREE is append(group, EntryId(1, 2), entry(2, 3, "new"))
    assert [(2, 1), (3, 2)] == group.positions(2)
    assert [(entry(2, 3, "new"),)] == [e.entries for e in group.members[2].of(SaveEntries)]


def test_a_delayed_append_that_matches_truncates_nothing() -> None:
    group = follower()
    assert Verdict.AGREE is append(group, EntryId(1, 2), OLD[1])
    assert [(2, 1), (3, 1), (4, 1)] == group.positions(2)
    assert [] == group.members[2].of(SaveEntries)


def test_only_what_is_new_is_saved() -> None:
    group = follower()
    append(group, FOUNDING, *OLD, entry(2, 5, "d"))
    assert [(entry(2, 5, "d"),)] == [e.entries for e in group.members[2].of(SaveEntries)]


def test_an_acknowledgement_waits_for_the_sync_also_of_what_was_there_before() -> None:
    group = follower()
    group.hold_syncs(2)
    for _ in range(2):  # the second time nothing is new, and nothing is durable either
        with pytest.raises(AssertionError, match="has not answered"):
            append(group, EntryId(1, 4), entry(2, 5))
    group.sync(2)
    assert Verdict.AGREE is append(group, EntryId(1, 4), entry(2, 5))


@pytest.mark.parametrize(
    "entries",
    [
        (entry(2, 5), entry(2, 7)),
        (entry(2, 6),),
        (entry(2, 5), entry(1, 6)),
        (entry(3, 5),),
        (entry(0, 5),),
        (Entry(2, 5, EntryKind.MEMBERSHIP, b"\x00\x01"),),
    ],
    ids=["gap", "not behind prev", "terms fall", "newer than the leader", "older than prev", "broken membership"],
)
def test_what_is_no_chain_is_refused_whole(entries: tuple[Entry, ...]) -> None:
    group = follower()
    assert Verdict.LOG_MISMATCH is append(group, EntryId(1, 4), *entries)
    assert EntryId(1, 4) == group[2].last_id


def test_a_truncation_at_or_below_the_commit_index_stops_the_node() -> None:
    group = follower()
    append(group, FOUNDING, *OLD)
    beat(group, 3)
    assert 3 == group[2].commit_index
    with pytest.raises(LogDiverged, match="entry EntryId\\(term=1, index=3\\) is committed"):
        append(group, EntryId(1, 2), entry(2, 3, "other"))


# ---- commit: the least of heard, matched, durable; judged whenever one of them grows ----


def test_it_never_commits_past_what_it_matched_however_far_the_leader_is() -> None:
    group = follower()
    beat(group, 99)
    assert 1 == group[2].commit_index  # its entries may be those of a dead leader
    append(group, FOUNDING, OLD[0])
    assert ["a"] == group.texts(2)


def test_it_commits_when_the_match_grows_after_the_heartbeat() -> None:
    group = follower()
    beat(group, 3)
    append(group, FOUNDING, *OLD)
    assert ["a", "b"] == group.texts(2)


def test_it_commits_when_the_sync_comes_last() -> None:
    group = Group(1, 2, 3)
    group.hold_syncs(2)
    beat_request = AppendRequest(2, FOUNDING, (entry(2, 2, "a"),))
    with pytest.raises(AssertionError, match="has not answered"):
        group.receive(2, beat_request)
    beat(group, 2)
    assert [] == group.texts(2)
    group.sync(2)
    assert ["a"] == group.texts(2)


def test_a_commit_index_of_an_earlier_term_is_forgotten_with_its_leader() -> None:
    group = follower()
    beat(group, 4, term=2)
    append(group, EntryId(1, 2), entry(3, 3, "other"), term=3)
    assert ["a"] == group.texts(2)[:1] or [] == group.texts(2)
    assert group[2].commit_index < 3


def test_after_a_restart_its_own_last_entry_of_the_leaders_term_is_a_match() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.propose(1, "a")
    group.settle()
    group.restart(2)
    assert [] == group.texts(2)
    group.beat(1)  # nothing new is ever written in this group
    assert ["a"] == group.texts(2)


def test_each_entry_is_applied_once_and_in_order() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    for k in range(5):
        group.propose(1, f"{k}", f"{k}'")
        group.beat(1)
    assert [f"{k}{mark}" for k in range(5) for mark in ("", "'")] == group.texts(1) == group.texts(2) == group.texts(3)


def test_a_heartbeat_is_answered_at_once_with_the_last_entry() -> None:
    group = follower()
    group.hold_syncs(2)
    answer = group.receive(2, Heartbeat(2, NodeId(1), 1))
    assert HeartbeatAnswer(Verdict.AGREE, 2, EntryId(1, 4)) == answer


def test_a_lower_term_is_answered_with_the_own_and_changes_nothing() -> None:
    group = follower(terms={2: 7})
    before = group[2].next_deadline_ms
    group.now_ms += 10
    assert Verdict.STALE_TERM is append(group, EntryId(1, 4), entry(2, 5))
    assert HeartbeatAnswer(Verdict.STALE_TERM, 7) == group.receive(2, Heartbeat(3, NodeId(1), 1))
    assert (before, EntryId(1, 4), None) == (group[2].next_deadline_ms, group[2].last_id, group[2].leader)


def test_a_leader_that_it_does_not_know_yet_is_accepted() -> None:
    group = follower()
    assert Verdict.AGREE is group.receive(2, Heartbeat(5, NodeId(77), 1)).verdict
    assert (5, 77) == (group[2].term, group[2].leader)


def test_entries_that_the_snapshot_covers_are_passed_over() -> None:
    group = follower()
    append(group, FOUNDING, *OLD)
    beat(group, 4)
    group.compact(2, 3)
    assert Verdict.AGREE is append(group, FOUNDING, *OLD, entry(2, 5, "d"))
    assert Verdict.AGREE is append(group, FOUNDING, OLD[0])
    assert [(4, 1), (5, 2)] == group.positions(2)
