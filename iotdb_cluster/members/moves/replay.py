"""Installs that a start will replay: their files have to be what the entries say before the replica serves anything."""

from collections.abc import Iterable

from iotdb_cluster.errors import RequestError
from iotdb_cluster.members.moves.codec import install_in, read_deed
from iotdb_cluster.partition.moves import Deed, GroupSlots
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.timeseries.move_content import MoveContent
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import LogIndex


def prepare_installs(store: GroupStore, slots: GroupSlots, entries: Iterable[Entry]) -> None:
    """Verify the files of every install among `entries`, which come behind the store's, that will have an effect.

    `slots` are those behind the store's last entry. Raises `Corruption` for a file that is missing or damaged.
    """
    for entry in entries:
        if entry.kind != EntryKind.MOVE_STEP:
            continue
        try:
            deed = read_deed(entry.body)
            slots, changed = slots.after(deed.deed, deed.move, deed.slots)
            if deed.deed is Deed.INSTALL and changed:
                content = MoveContent.decode(deed.content)
                moved = tuple(each for each in content.storage_groups if slot_of(each.path) in changed)
                store.prepare_move(deed.move, MoveContent(content.covered, moved))
        except RequestError:
            continue  # judged where it is applied


def last_install(entries: Iterable[Entry]) -> LogIndex:
    """The last entry among these that installs a move; 0 where there is none."""
    return max((entry.index for entry in entries if install_in(entry.kind, entry.body)), default=0)
