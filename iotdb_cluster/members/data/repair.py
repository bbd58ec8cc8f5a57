"""Data groups whose files turned out to be damaged at the start: their content is pulled again from another member.

The log of such a group is in order: term, vote and every entry that was acknowledged are there. Only what was sealed
and forgotten by the log has to come again, and what another member has applied is the same here. Until it is there the
group has no replica on this node: nothing is voted for, acknowledged or served (docs/life-cycle.md, "Group").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from iotdb_cluster.errors import Corruption, MalformedInput, RequestError
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.snapshots import FilePuller, check_room
from iotdb_cluster.members.life.groups import GroupMaker, log_of, store_folder
from iotdb_cluster.members.moves.replay import last_install
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.transport import Port
from iotdb_cluster.storage.group_log import RecoveredGroup
from iotdb_cluster.timeseries.snapshots import decode_snapshot
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.identity import EntryId, GroupId, Node, NodeId
from iotdb_cluster.wire.snapshots import decode_data_snapshot

log = structlog.get_logger()

ASIDE_FOLDER = "damaged"
"""Where damaged files are put, under the same path; nothing reads them again."""

PULLED_FOLDER = "repair"


class RepairedNode(Protocol):
    """The node, as far as repairs go."""

    context: Context

    def find(self, identifier: NodeId) -> Node | None:
        """Where a node is."""

    def add_data_member(self, member: DataGroupMember) -> None:
        """The node has a replica of this group. Runtime's thread."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A group that could not be opened: its log, and what is wrong with its files."""

    recovered: RecoveredGroup
    damage: Corruption
    others: frozenset[NodeId]


class Repairs:
    """Pulls what is damaged, group by group. `run` is driven by the thread of the node's life."""

    def __init__(self, node: RepairedNode, maker: Callable[[], GroupMaker]) -> None:
        self._node = node
        self._maker = maker
        self._damaged: dict[GroupId, Damaged] = {}

    def take(self, group: GroupId, recovered: RecoveredGroup, damage: Corruption) -> bool:
        """Look after a damaged group from now on; False where nobody else has its content."""
        membership = log_of(recovered).membership
        others = frozenset() if membership is None else membership.members - {self._node.context.me.identifier}
        if others:
            log.error("data_group_damaged", group=group, damage=str(damage), pulled_from=sorted(others))
            self._damaged[group] = Damaged(recovered, damage, others)
        return bool(others)

    def has(self, group: GroupId) -> bool:
        """True while a group waits for its content."""
        return group in self._damaged

    @property
    def is_over(self) -> bool:
        """True when nothing waits."""
        return not self._damaged

    async def run(self) -> None:
        """Try to repair every group that waits, once; what nobody can give now is asked for at the next call."""
        for group in sorted(self._damaged):
            for identifier in sorted(self._damaged[group].others):
                source = self._node.find(identifier)
                if source is not None and await self._is_repaired_from(source, group):
                    break

    async def _is_repaired_from(self, source: Node, group: GroupId) -> bool:
        try:
            await self._repair(source, group)
        except RequestError as error:
            log.info("data_group_not_repaired_yet", group=group, source=str(source), reason=str(error))
            return False
        return True

    async def _repair(self, source: Node, group: GroupId) -> None:
        """Everything is pulled and checked before anything here is touched; a crash in between begins again."""
        context, damaged = self._node.context, self._damaged[group]
        header = self._node.find(NodeId(group)) or Node("", 0, NodeId(group), 0)
        # What was pulled for installs in the log goes with the damaged files: they must not be replayed.
        at_least = max(damaged.recovered.snapshot.index, last_install(damaged.recovered.entries))
        timeout_ms = context.settings.snapshot_timeout_ms
        data = await context.transport.call(
            source, Port.DATA, "offerStore", (node_struct(header), at_least), timeout_ms
        )
        image = decode_data_snapshot(data)
        manifest = decode_snapshot(image.extension)
        if manifest.covered != EntryId(image.last_term, image.last_index) or image.last_index < at_least:
            raise MalformedInput(
                f"{source} offers the content of entry {manifest.covered}, at least {at_least} is needed"
            )
        folder = f"{PULLED_FOLDER}/{group}"
        check_room(context, manifest, folder)
        staged = await FilePuller(context, node_struct(header)).pull(image, folder)
        store = self._emptied_store(store_folder(NodeId(group)), damaged.damage.path)
        store.install(manifest, staged)
        context.disk.remove_folder(folder)
        added: Pending[None] = Pending()
        context.runtime.call_soon(lambda: self._add(group, header, store, added))
        await added
        log.info("data_group_repaired", group=group, source=str(source), index=image.last_index)

    def _emptied_store(self, folder: str, damaged: str) -> GroupStore:
        disk = self._node.context.disk
        # Damage that is no file's own, such as files that reach less far than the log, is named by the folder.
        if damaged != folder and disk.exists(damaged):
            disk.rename(damaged, f"{ASIDE_FOLDER}/{damaged}")
        disk.remove_folder(folder)
        return self._maker().open_store(folder)

    def _add(self, group: GroupId, header: Node, store: GroupStore, added: Pending[None]) -> None:
        damaged = self._damaged[group]
        member = self._maker().recovered_data_group(header, damaged.recovered, store)
        self._node.add_data_member(member)
        del self._damaged[group]
        added.resolve(None)
