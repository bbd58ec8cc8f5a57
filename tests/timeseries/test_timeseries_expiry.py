"""What has expired is gone for good: from reads, from writes that come late, and behind a compaction from the disk."""

from typing import Any

import pytest

from iotdb_cluster.errors import OutOfTtl, StorageGroupUnknown
from iotdb_cluster.timeseries.deletions import LEAST_TIME
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import DeleteStorageGroupPlan, ExpirePlan, InsertPlan, SetStorageGroupPlan
from iotdb_cluster.types.schema import DataType
from tests.timeseries.timeseries_model import create, read_all, tablet

I = DataType.INT32  # noqa: E741


def rows(*times: int) -> Any:
    return tablet("root.sg.d", {"s": (I, list(times))}, list(times))


def test_what_has_expired_is_not_read_wherever_it_lies(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(rows(1, 2, 3))
    bench.seal()
    bench.write(rows(4, 5), ExpirePlan("root.sg", 4))
    for _ in range(2):
        assert [(5, 5)] == read_all(bench.store, "root.sg.d.s")
        assert 4 == bench.store.expired_until("root.sg")
        bench.seal()
        bench.reopen()


def test_what_has_expired_stays_gone_when_points_of_its_age_are_taken_again(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(rows(1, 3, 9), ExpirePlan("root.sg", 4), ExpirePlan("root.sg", 2))
    assert 2 == bench.store.expired_until("root.sg")
    assert (True, False) == (bench.store.expires("root.sg", 1), bench.store.expires("root.sg", 2))
    bench.write(InsertPlan(4, "root.sg.d", ("s",), ("44",)), ExpirePlan("root.sg", LEAST_TIME))
    assert bench.store.expired_until("root.sg") is None
    bench.write(rows(1))
    assert [(1, 1), (4, 44), (9, 9)] == read_all(bench.store, "root.sg.d.s")


def test_a_row_that_is_too_old_is_refused_and_a_tablet_keeps_what_is_not(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(ExpirePlan("root.sg", 4))
    with pytest.raises(OutOfTtl, match=r"root.sg up to time 4"):
        bench.write(InsertPlan(4, "root.sg.d", ("s",), ("1",)))
    with pytest.raises(OutOfTtl):
        bench.write(rows(3, 4))
    bench.write(rows(4, 5))
    assert [(5, 5)] == read_all(bench.store, "root.sg.d.s")
    bench.seal()
    bench.reopen()
    with pytest.raises(OutOfTtl):
        bench.write(InsertPlan(4, "root.sg.d", ("s",), ("1",)))


def test_files_in_which_everything_has_expired_are_removed(bench_over: Any) -> None:
    bench = bench_over(compact_at_tiers=99)
    bench.device("root.sg.d", s=I)
    for time in range(3):
        bench.write(rows(time))
        bench.seal()
    bench.write(ExpirePlan("root.sg", 1))
    bench.seal()
    while bench.compact():
        pass
    assert 1 == len(bench.disk.list_folder("data/7/root.sg"))
    assert [(2, 2)] == read_all(bench.store, "root.sg.d.s")


def test_a_group_asks_only_for_what_concerns_something(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    assert not bench.store.expires("root.sg", 10)
    bench.write(rows(5))
    bench.seal()
    assert not bench.store.expires("root.sg", 4)
    assert bench.store.expires("root.sg", 5)
    assert not bench.store.expires("root.other", 5)
    with pytest.raises(StorageGroupUnknown):
        bench.store.apply(EntryId(1, 99), ExpirePlan("root.other", 1))


def test_a_storage_group_that_is_made_again_has_nothing_expired(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(ExpirePlan("root.sg", 4), DeleteStorageGroupPlan("root.sg"), SetStorageGroupPlan("root.sg"))
    bench.write(create("root.sg.d.s", I), rows(1))
    assert [(1, 1)] == read_all(bench.store, "root.sg.d.s")
