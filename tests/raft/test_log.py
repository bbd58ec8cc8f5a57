"""The log in memory, against a plain list that does the same slowly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import LogDiverged
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.membership import Membership
from tests.raft.group import entry, members

M3 = members([1, 2, 3])


def membership_entry(term: int, index: int, membership: Membership) -> Entry:
    return Entry(term, index, EntryKind.MEMBERSHIP, membership.encode())


def test_an_empty_log_ends_before_the_first_entry() -> None:
    log = RaftLog()
    assert (EntryId(0, 0), 1, None) == (log.last_id, log.first_index, log.membership)
    assert log.contains(EntryId(0, 0))


def test_the_newest_membership_is_in_force_and_goes_with_its_entry() -> None:
    log = RaftLog(entries=[membership_entry(1, 1, M3), entry(1, 2), membership_entry(1, 3, members([1, 2]))])
    assert (members([1, 2]), 3) == (log.membership, log.membership_index)
    assert M3 == log.membership_at(2)
    log.truncate_from(3)
    assert (M3, 1) == (log.membership, log.membership_index)


def test_a_forgotten_entry_cannot_be_replaced_or_read() -> None:
    log = RaftLog(entries=[membership_entry(1, 1, M3), entry(1, 2), entry(1, 3)])
    log.compact(2)
    for act in (lambda: log.truncate_from(2), lambda: log.entries(2, 3), lambda: log.id_at(1)):
        with pytest.raises(LogDiverged):
            act()
    assert (1, None) == (log.term_at(2), log.term_at(1))


def test_entries_are_taken_within_bytes_and_count_but_at_least_one() -> None:
    log = RaftLog(entries=[entry(1, k, "x" * 67) for k in range(1, 10)])  # 100 bytes each

    def count(**limits: int) -> int:
        return len(log.entries_within(3, 9, **{"max_bytes": 10_000, "max_entries": 100} | limits))

    assert [7, 2, 1, 1, 3, 4] == [
        count(),
        count(max_entries=2),
        count(max_bytes=99),
        count(max_bytes=199),
        count(max_bytes=300),
        count(max_bytes=499),
    ]
    assert 900 == log.bytes_behind(0)
    assert 100 == log.bytes_behind(8)


terms = st.lists(st.integers(1, 4), min_size=1, max_size=30).map(sorted)


@given(terms=terms, acts=st.lists(st.tuples(st.sampled_from("atc"), st.integers(0, 40)), max_size=20))
@settings(max_examples=60, deadline=None)
def test_it_behaves_like_a_plain_list(terms: list[int], acts: list[tuple[str, int]]) -> None:
    first = membership_entry(1, 1, M3)
    plain = [first, *[entry(term, k) for k, term in enumerate(terms, 2)]]
    log = RaftLog(entries=plain)
    begin = 0
    for act, number in acts:
        if act == "a":
            new = entry(max(plain[-1].term, number % 5), plain[-1].index + 1)
            plain.append(new)
            log.append([new])
        elif act == "t" and begin + 2 <= number <= plain[-1].index:
            del plain[number - 1 :]
            log.truncate_from(number)
        elif act == "c" and begin < number <= plain[-1].index:
            begin = number
            log.compact(number)
        log.check()
        assert plain[-1].id == log.last_id
        assert tuple(plain[begin:]) == log.entries(begin + 1, plain[-1].index)
        assert M3 == log.membership
        for term in range(5):
            slow = max([e.index for e in plain[begin:] if e.term <= term], default=begin)
            assert slow == log.last_index_of_term_at_most(term, 99)


def test_installing_keeps_what_follows_and_drops_what_does_not() -> None:
    log = RaftLog(entries=[membership_entry(1, 1, M3), *[entry(1, k) for k in range(2, 6)]])
    assert not log.install(EntryId(1, 3), members([1]))
    assert (EntryId(1, 5), members([1])) == (log.last_id, log.membership)
    assert log.install(EntryId(2, 4), members([2]))
    assert (EntryId(2, 4), members([2]), 0) == (log.last_id, log.membership, len(log))
