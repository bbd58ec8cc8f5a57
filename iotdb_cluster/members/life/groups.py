"""Members put together from what the disk holds: at a start, at the founding, and when a replica is made."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from iotdb_cluster.errors import Corruption
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.member import MIB, DataGroupMember
from iotdb_cluster.members.data.readers import Readers
from iotdb_cluster.members.data.snapshots import SnapshotReceiver, SnapshotSender
from iotdb_cluster.members.meta.founding import Founding, founding_of, nodes_named_by
from iotdb_cluster.members.meta.member import MetaGroupMember, MetaListener
from iotdb_cluster.members.meta.snapshot import decode_image
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.moves.held_slots import slots_in
from iotdb_cluster.members.moves.replay import prepare_installs
from iotdb_cluster.partition.moves import GroupSlots
from iotdb_cluster.partition.slots import SLOT_COUNT
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.settings import Settings
from iotdb_cluster.storage.group_log import RecoveredGroup
from iotdb_cluster.storage.snapshots import META_SNAPSHOT_FILE, MetaSnapshotFile
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import BEFORE_FIRST, META_GROUP, EntryId, GroupId, HardState, Node, NodeId, Slot
from iotdb_cluster.types.membership import Membership

FOUNDING_ID = EntryId(0, 1)
"""The entry by which a data group is founded; every member derives it from the meta log (DESIGN 5.1)."""


def raft_settings(settings: Settings) -> RaftSettings:
    """The core's part of the node's settings."""
    return RaftSettings(
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
        commit_heartbeat_interval_ms=settings.commit_heartbeat_interval_ms,
        election_timeout_min_ms=settings.election_timeout_min_ms,
        election_timeout_max_ms=settings.election_timeout_max_ms,
        leader_stall_timeout_ms=settings.leader_stall_timeout_ms,
        append_max_bytes=settings.append_max_bytes,
        append_max_entries=settings.append_max_entries,
        uncommitted_max_bytes=settings.uncommitted_max_bytes,
        uncommitted_max_entries=settings.uncommitted_max_entries,
        inflight_appends_max=settings.inflight_appends_max,
        transfer_timeout_ms=settings.transfer_timeout_ms,
    )


def store_folder(header: NodeId) -> str:
    """Where a data group keeps everything of its own (DESIGN 5.2)."""
    return f"data/{header}"


@dataclass(frozen=True, slots=True)
class GroupMaker:
    """Makes members with the node's context."""

    context: Context
    listener: MetaListener
    storage_group_of: Callable[[str], str | None]
    meta_catch_up: Callable[[Deadline], Awaitable[None]]
    sender: SnapshotSender
    receiver: SnapshotReceiver
    readers: Readers
    founding_slots: Callable[[NodeId], Sequence[Slot]] = lambda header: range(SLOT_COUNT)
    """The slots with which the group of a header began."""

    # -- the meta group ----------------------------------------------------------------------------------------------

    def meta(self, recovered: RecoveredGroup | None, founders: frozenset[NodeId], *, founded: bool) -> MetaGroupMember:
        """The member of the meta group: from its log and snapshot, or blind, among the seed nodes."""
        file = MetaSnapshotFile(self.context.disk)
        stored = file.load()
        log, hard_state, state = RaftLog(), HardState(), MetaState()
        if recovered is None:
            hard_state = self.context.runtime.journal.create_group(META_GROUP)
        else:
            hard_state = recovered.hard_state
            log = log_of(recovered)
        if stored is not None:
            image = decode_image(stored.data)
            state = image.state
            if image.last.index < log.snapshot.index:
                raise Corruption(
                    META_SNAPSHOT_FILE,
                    0,
                    f"it reaches to entry {image.last.index}, the log begins behind entry {log.snapshot.index}",
                )
            if log.snapshot != image.last:
                # The snapshot was saved and the log not yet shortened behind it.
                drop_log = log.install(image.last, image.membership)
                self.context.runtime.journal.save_snapshot_point(META_GROUP, image.last, image.membership, drop_log)
        elif log.snapshot != BEFORE_FIRST:
            raise Corruption(META_SNAPSHOT_FILE, 0, f"missing, and the log begins behind entry {log.snapshot.index}")
        mark = None if recovered is None else recovered.mark
        raft = self._raft(log, hard_state, mark, founders=founders, founded=founded)
        return MetaGroupMember(self.context, raft, state, file, self.listener)

    # -- data groups -------------------------------------------------------------------------------------------------

    def founded_data_group(self, header: Node, membership: Membership) -> DataGroupMember:
        """A new data group of which this node is a founding member."""
        group = GroupId(header.identifier)
        journal = self.context.runtime.journal
        hard_state = journal.create_group(group)
        journal.save_snapshot_point(group, FOUNDING_ID, membership, False)
        log = RaftLog(snapshot=FOUNDING_ID, snapshot_membership=membership)
        return self._data_member(header, log, hard_state, None)

    def joined_data_group(self, header: Node) -> DataGroupMember:
        """An empty replica of a group that others have: it is brought up by the group's leader.

        Of an earlier replica of this node its mark is left: term and vote, and how far it once was (rule 3.12).
        """
        group = GroupId(header.identifier)
        journal = self.context.runtime.journal
        mark = journal.mark_of(group)
        hard_state = journal.create_group(group)
        return self._data_member(header, RaftLog(), hard_state, mark)

    def recovered_data_group(
        self, header: Node, recovered: RecoveredGroup, store: GroupStore | None = None
    ) -> DataGroupMember:
        """A data group that the disk holds; `store` where its folder was opened already. Raises `Corruption`."""
        return self._data_member(header, log_of(recovered), recovered.hard_state, recovered.mark, store)

    def open_store(self, folder: str) -> GroupStore:
        """The store in a group's folder; raises `Corruption`."""
        return GroupStore.open(self.context.disk, folder, self._store_settings(), self.context.submit)

    def _data_member(
        self,
        header: Node,
        log: RaftLog,
        hard_state: HardState,
        mark: LeftMark | None,
        store: GroupStore | None = None,
    ) -> DataGroupMember:
        store = store or self.open_store(store_folder(header.identifier))
        if store.covered.index > log.snapshot.index and not log.contains(store.covered):
            # A snapshot was installed and the log not yet begun behind it.
            membership, _ = Membership.decode(store.context)
            drop_log = log.install(store.covered, membership)
            group = GroupId(header.identifier)
            self.context.runtime.journal.save_snapshot_point(group, store.covered, membership, drop_log)
        if store.covered.index < log.snapshot.index and log.snapshot != FOUNDING_ID:
            raise Corruption(
                store_folder(header.identifier),
                0,
                f"its files reach to entry {store.covered.index}, its log begins behind entry {log.snapshot.index}",
            )
        founding_slots = self.founding_slots(header.identifier)
        if log.last_index > store.covered.index:
            slots = slots_in(store.context) if store.context else None
            first = max(store.covered.index, log.snapshot.index) + 1
            prepare_installs(store, slots or GroupSlots.founded(founding_slots), log.entries(first, log.last_index))
        raft = self._raft(log, hard_state, mark)
        return DataGroupMember(
            self.context,
            header,
            raft,
            store,
            self.storage_group_of,
            self.meta_catch_up,
            self.sender,
            self.receiver,
            self.readers,
            founding_slots,
        )

    def _raft(
        self,
        log: RaftLog,
        hard_state: HardState,
        mark: LeftMark | None,
        *,
        founders: frozenset[NodeId] = frozenset(),
        founded: bool = True,
    ) -> Raft:
        return Raft(
            me=self.context.me.identifier,
            settings=raft_settings(self.context.settings),
            log=log,
            hard_state=hard_state,
            draw=self.context.draw,
            founders=founders,
            founded=founded,
            mark=mark,
            now_ms=self.context.clock.now_ms(),
        )

    def _store_settings(self) -> StoreSettings:
        settings = self.context.settings
        # The limit is the node's; its groups, as many as there are replicas, share it.
        return StoreSettings(memtable_limit_bytes=settings.memtable_limit_mb * MIB // settings.replica_num)


def log_of(recovered: RecoveredGroup) -> RaftLog:
    """The log of a group that the disk holds."""
    return RaftLog(
        snapshot=recovered.snapshot, snapshot_membership=recovered.snapshot_membership, entries=recovered.entries
    )


def sweep_folders(disk: Disk, recovered: Mapping[GroupId, RecoveredGroup]) -> None:
    """Remove what a crash left of replicas that the log has dropped already."""
    for group in sorted(recovered):
        folder = store_folder(NodeId(group))
        if not recovered[group].present and disk.exists(folder):
            disk.remove_folder(folder)


def founding_in_log(recovered: RecoveredGroup | None) -> Founding | None:
    """The founding in a recovered meta log that begins with it."""
    first = recovered.entries[0] if recovered is not None and recovered.entries else None
    return founding_of(first) if first is not None else None


def nodes_in_log(recovered: RecoveredGroup) -> tuple[Node, ...]:
    """Nodes that entries of a recovered meta log name, committed or not: where to find peers before it is applied."""
    return tuple(node for entry in recovered.entries for node in nodes_named_by(entry))
