"""What a store remembers of inserts that it took, so that the next ones like them need no look at the schema."""

import pytest

from iotdb_cluster.storage.disk import RealDisk
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeleteTimeseriesPlan,
    InsertPlan,
    SetStorageGroupPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding

ROW = InsertPlan(1, "root.g.d", ("s",), ("1.5",))
TABLET = TabletPlan("root.g.d", ("s",), (DataType.DOUBLE,), 1, bytes(8), (bytes(8),))
OTHER_TYPE = TabletPlan("root.g.d", ("s",), (DataType.INT64,), 1, bytes(8), (bytes(8),))


@pytest.fixture
def apply(tmp_path):
    """Applies plans in a new store with the series root.g.d.s; `apply.store` is the store."""
    disk = RealDisk(tmp_path)
    store = GroupStore.open(disk, "data", StoreSettings(), lambda work: work())

    def applied(*plans):
        for plan in plans:
            store.apply(EntryId(1, store.applied.index + 1), plan)

    applied.store = store
    applied(
        SetStorageGroupPlan("root.g"),
        CreateTimeseriesPlan("root.g.d.s", DataType.DOUBLE, Encoding.GORILLA, Compression.SNAPPY),
    )
    yield applied
    disk.close()


@pytest.mark.parametrize("plan", [ROW, TABLET], ids=["row", "tablet"])
def test_an_insert_is_known_once_one_like_it_was_applied(apply, plan):
    assert not apply.store.has_taken(plan)
    apply(plan)
    assert apply.store.has_taken(plan)


def test_a_tablet_of_other_types_is_not_known(apply):
    apply(TABLET)
    assert not apply.store.has_taken(OTHER_TYPE)


@pytest.mark.parametrize("plan", [ROW, TABLET], ids=["row", "tablet"])
def test_nothing_is_known_of_a_series_that_went(apply, plan):
    apply(plan, DeleteTimeseriesPlan("root.g.d.s"))
    assert not apply.store.has_taken(plan)
