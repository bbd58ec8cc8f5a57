"""Snapshots of data groups: what a leader sends to a follower that is too far behind, and how that is installed.

A snapshot names files; who receives it pulls them by `readFile` and checks their MD5 (interface page "Snapshots"). Behind
the mirrored bytes stands the manifest of the sender's store: with it a snapshot holds everything the group knows.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import structlog

from iotdb_cluster.errors import Busy, MalformedInput, OutcomeUnknown, RequestError
from iotdb_cluster.members import structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.offered_files import OfferedFiles
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.readers import Readers
from iotdb_cluster.members.transport import Lane, Port
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import SnapshotInstalled, SnapshotSent
from iotdb_cluster.timeseries.snapshot import StoreSnapshot
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.identity import EntryId, GroupId, LogIndex, Node
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.snapshots import DataSnapshot, FileSnapshot, RemoteFile
from iotdb_cluster.wire.snapshots import decode_data_snapshot, encode_data_snapshot

log = structlog.get_logger()

PULL_BYTES = 1024 * 1024
"""Asked for by one `readFile`; small enough that a heartbeat never waits long behind it."""


class Member(Protocol):
    """The member of a data group, as far as snapshots go."""

    group: GroupId
    header: Node
    raft: Raft
    store: GroupStore

    def seal_soon(self) -> None:
        """Seal after this turn."""

    def step(self, event: SnapshotInstalled) -> None:
        """Step the core."""

    def snapshot_installed(self, last: EntryId) -> None:
        """The store jumped to `last`."""


def file_snapshots(snapshot: StoreSnapshot, source: Node) -> tuple[tuple[int, FileSnapshot], ...]:
    """The storage groups of a snapshot by slot, as the interface lays them out; the files are read at `source`."""
    by_slot: dict[int, FileSnapshot] = {}
    for group in snapshot.storage_groups:
        slot = slot_of(group.path)
        known = by_slot.get(slot, FileSnapshot())
        files = tuple(
            RemoteFile(
                source=source, md5=file.md5, path=file.path, start_times=file.start_times, end_times=file.end_times
            )
            for file in group.files
        )
        by_slot[slot] = FileSnapshot(known.schemas + group.schemas, known.files + files)
    return tuple(sorted(by_slot.items()))


class SnapshotSender:
    """Sends the files of a store to followers that need more than the log has. Runtime's thread."""

    def __init__(self, context: Context, offered: OfferedFiles) -> None:
        self._context = context
        self._offered = offered
        self._waiting: dict[GroupId, dict[Node, LogIndex]] = {}

    def send(self, member: Member, to: Node, at_least: LogIndex) -> None:
        """Send now, or as soon as the store covers `at_least`."""
        if member.store.covered.index < at_least:
            self._waiting.setdefault(member.group, {})[to] = at_least
            member.seal_soon()
            return
        snapshot = member.store.snapshot()
        offer = self._offered.offer(snapshot.paths, lambda: member.store.release(snapshot))
        image = DataSnapshot(
            slots=file_snapshots(snapshot, self._context.me),
            last_index=snapshot.covered.index,
            last_term=snapshot.covered.term,
            extension=snapshot.encode(),
        )
        request = structs.SendSnapshotRequest(
            snapshotBytes=encode_data_snapshot(image), header=node_struct(member.header)
        )

        def done(result: Any) -> None:
            self._offered.withdraw(offer)
            ok = not isinstance(result, Exception)
            if not ok:
                log.info("snapshot_not_taken", group=member.group, peer=str(to), reason=str(result))
            self._context.runtime.post(member.group, SnapshotSent(to.identifier, snapshot.covered, ok))

        log.info("snapshot_sent", group=member.group, peer=str(to), index=snapshot.covered.index)
        timeout_ms = self._context.settings.snapshot_timeout_ms
        lane = (Lane.BULK, member.group)
        self._context.transport.send(to, Port.DATA, lane, lambda: ("sendSnapshot", (request,)), timeout_ms, done)

    def sealed(self, member: Member) -> None:
        """The member's store covers more now: send what waited for that."""
        for to, at_least in self._waiting.pop(member.group, {}).items():
            self.send(member, to, at_least)


class SnapshotReceiver:
    """Pulls the files of a snapshot and puts them in the place of the store's content."""

    def __init__(self, context: Context, readers: Readers) -> None:
        self._context = context
        self._readers = readers
        self._receiving: set[GroupId] = set()

    async def receive(self, member: Member, data: bytes) -> None:
        """Install a snapshot that reaches further than the local commit index; returns when it is durable."""
        image = decode_data_snapshot(data)
        if image.last_index <= member.raft.commit_index:
            return
        if not image.extension:
            raise MalformedInput("a data snapshot without the manifest of a node of this project can't be installed")
        snapshot = StoreSnapshot.decode(image.extension)
        if snapshot.covered != EntryId(image.last_term, image.last_index):
            raise MalformedInput("a data snapshot whose manifest covers another entry than it says")
        membership, _ = Membership.decode(snapshot.context)
        if member.group in self._receiving:
            raise Busy("another snapshot of this group is being installed")
        self._receiving.add(member.group)
        try:
            staged = await self._pull(member, image)
            await self._install(member, snapshot, staged, membership)
        finally:
            self._receiving.discard(member.group)

    async def _pull(self, member: Member, image: DataSnapshot) -> Mapping[str, str]:
        """Where each file of the snapshot was put on this disk, by the path it has at its source."""
        staged: dict[str, str] = {}
        files = [file for _, slot in image.slots for file in slot.files]
        for number, file in enumerate(files):
            staged[file.path] = await self._pull_file(member, file, number)
        return staged

    async def _pull_file(self, member: Member, file: RemoteFile, number: int) -> str:
        path = member.store.staged_path(f"{number}")
        digest = hashlib.md5(usedforsecurity=False)
        target = self._context.disk.append(path, truncate_to=0)
        try:
            async for chunk in self._chunks(member, file):
                digest.update(chunk)
                target.write(chunk)
            target.sync()
        finally:
            target.close()
        if digest.digest() != file.md5:
            raise RequestError(f"{file.path} of {file.source} did not come as it was offered (MD5): it is pulled again")
        return path

    async def _chunks(self, member: Member, file: RemoteFile) -> Any:
        timeout_ms = self._context.settings.connection_time_out_ms
        header = node_struct(member.header)
        offset = 0
        while True:
            arguments = (file.path, offset, PULL_BYTES, header)
            chunk = await self._context.transport.call(file.source, Port.DATA, "readFile", arguments, timeout_ms)
            if not chunk:
                return
            offset += len(chunk)
            yield chunk

    async def _install(
        self, member: Member, snapshot: StoreSnapshot, staged: Mapping[str, str], membership: Membership
    ) -> None:
        installed: Pending[None] = Pending()

        def install() -> None:
            if snapshot.covered.index > member.raft.commit_index:
                member.store.install(snapshot, staged)
                self._readers.drop_group(member.group)
                member.snapshot_installed(snapshot.covered)
                member.step(SnapshotInstalled(snapshot.covered, membership))
                log.info("snapshot_installed", group=member.group, index=snapshot.covered.index)
            self._context.runtime.after_sync(lambda: _resolve(installed))

        self._context.runtime.call_soon(install)
        deadline = Deadline.after(self._context.clock, self._context.settings.snapshot_timeout_ms)
        await installed.within(deadline, OutcomeUnknown("the snapshot was not installed in time"))


def paths_of(files: Iterable[RemoteFile]) -> tuple[str, ...]:
    """The paths by which files are read."""
    return tuple(file.path for file in files)


def _resolve(pending: Pending[None]) -> None:
    pending.resolve(None)
