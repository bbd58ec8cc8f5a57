"""Snapshots of data groups: what a leader sends to a follower that is too far behind, and how that is installed.

A snapshot names files; who receives it pulls them by `readFile` and checks their MD5 (interface page "Snapshots").
Behind the mirrored bytes stands the manifest of the sender's store: with it a snapshot holds all the group knows.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import structlog

from iotdb_cluster.errors import Busy, DiskNearlyFull, MalformedInput, OutcomeUnknown, RequestError
from iotdb_cluster.members import structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.data.offered_files import Offer, OfferedFiles
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.raft_member import FROM_A_STRANGER
from iotdb_cluster.members.transport import Lane, Port
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import SnapshotSent
from iotdb_cluster.settings import MIB
from iotdb_cluster.timeseries.manifest import Manifest
from iotdb_cluster.timeseries.snapshots import StoreSnapshot, decode_snapshot
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
    header: Node | None
    raft: Raft
    store: GroupStore

    def seal_soon(self) -> None:
        """Seal after this turn."""

    def begin_install(self, manifest: Manifest, staged: Mapping[str, str], installed: Pending[None]) -> None:
        """Put a snapshot whose files are staged into the place of the store's content."""


def file_snapshots(snapshot: StoreSnapshot, source: Node) -> tuple[tuple[int, FileSnapshot], ...]:
    """The storage groups of a snapshot by slot, as the interface lays them out; the files are read at `source`."""
    by_slot: dict[int, FileSnapshot] = {}
    for storage_group in snapshot.storage_groups:
        slot = slot_of(storage_group)
        known = by_slot.get(slot, FileSnapshot())
        files = tuple(
            RemoteFile(source, file.file.md5, file.path, file.start_times, file.end_times, file.has_deletions)
            for file in snapshot.files_of(storage_group)
        )
        by_slot[slot] = FileSnapshot(known.schemas + snapshot.schemas(storage_group), known.files + files)
    return tuple(sorted(by_slot.items()))


def _header(member: Member) -> Any:
    assert member.header is not None, "a data group has a header"
    return node_struct(member.header)


class SnapshotSender:
    """Sends the files of a store to followers that need more than the log has. Runtime's thread."""

    def __init__(self, context: Context, offered: OfferedFiles) -> None:
        self._context = context
        self._offered = offered
        self._waiting: dict[GroupId, dict[Node, LogIndex]] = {}
        self._under_way: dict[GroupId, list[LogIndex]] = {}
        self._refused: dict[tuple[GroupId, Node], str] = {}
        """Why a follower did not take the last one, so that it is said once: it is sent again and again."""

    def oldest_under_way(self, group: GroupId) -> LogIndex | None:
        """The index of the oldest snapshot that is being pulled: its follower needs the log from there."""
        return min(self._under_way.get(group, ()), default=None)

    def send(self, member: Member, to: Node, at_least: LogIndex) -> None:
        """Send now, or as soon as the store covers `at_least`."""
        if member.store.covered.index < at_least:
            self._waiting.setdefault(member.group, {})[to] = at_least
            member.seal_soon()
            return
        snapshot = member.store.snapshot()
        offer = self.offer(member, snapshot)
        request = structs.SendSnapshotRequest(snapshotBytes=self.encoded(snapshot), header=_header(member))

        under_way = self._under_way.setdefault(member.group, [])
        under_way.append(snapshot.covered.index)

        def done(result: Any) -> None:
            self._offered.withdraw(offer)
            self._context.runtime.call_soon(lambda: under_way.remove(snapshot.covered.index))
            ok = not isinstance(result, Exception)
            reason = "" if ok else str(result)
            if not ok and self._refused.get((member.group, to)) != reason:
                log.info("snapshot_not_taken", group=member.group, peer=str(to), reason=reason)
            self._refused[member.group, to] = reason
            self._context.runtime.post(member.group, SnapshotSent(to.identifier, snapshot.covered, ok))

        say = log.debug if self._refused.get((member.group, to)) else log.info
        say("snapshot_sent", group=member.group, peer=str(to), index=snapshot.covered.index)
        timeout_ms = self._context.settings.snapshot_timeout_ms
        lane = (Lane.BULK, member.group)
        self._context.transport.send(to, Port.DATA, lane, lambda: ("sendSnapshot", (request,)), timeout_ms, done)

    def encoded(self, snapshot: StoreSnapshot) -> bytes:
        """A snapshot as it travels: the mirrored bytes, and behind them the manifest."""
        image = DataSnapshot(
            slots=file_snapshots(snapshot, self._context.me),
            last_index=snapshot.covered.index,
            last_term=snapshot.covered.term,
            extension=snapshot.encode(),
        )
        return encode_data_snapshot(image)

    def offer(self, member: Member, snapshot: StoreSnapshot) -> Offer:
        """Let the files of a snapshot be read by `readFile`, as long as somebody does."""
        paths = [file.path for file in snapshot.files]
        return self._offered.offer(paths, lambda: member.store.release(snapshot))

    def offer_paths(self, paths: Sequence[str]) -> None:
        """Let files be read that stay by themselves for as long as they are wanted."""
        self._offered.offer(paths, lambda: None)

    def withdraw(self, offer: Offer) -> None:
        """End an offer before its time."""
        self._offered.withdraw(offer)

    def sealed(self, member: Member) -> None:
        """The member's store covers more now: send what waited for that."""
        for to, at_least in self._waiting.pop(member.group, {}).items():
            self.send(member, to, at_least)


class SnapshotReceiver:
    """Pulls the files of a snapshot and has them put in the place of a store's content."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._receiving: set[GroupId] = set()

    async def receive(self, member: Member, data: bytes, *, is_from_node: bool) -> None:
        """Install a snapshot that reaches further than the local commit index; returns when it is durable."""
        image = decode_data_snapshot(data)
        if image.last_index <= member.raft.commit_index:
            return
        if not image.extension:
            raise MalformedInput("a data snapshot without the manifest of a node of this project can't be installed")
        if not is_from_node:
            raise RequestError(FROM_A_STRANGER)
        manifest = decode_snapshot(image.extension)
        if manifest.covered != EntryId(image.last_term, image.last_index):
            raise MalformedInput("a data snapshot whose manifest covers another entry than it says")
        Membership.decode(manifest.context)
        if member.group in self._receiving:
            raise Busy("another snapshot of this group is being installed")
        self._receiving.add(member.group)
        try:
            staged = await self._pull(member, image, manifest)
            installed: Pending[None] = Pending()
            self._context.runtime.call_soon(lambda: member.begin_install(manifest, staged, installed))
            deadline = Deadline.after(self._context.clock, self._context.settings.snapshot_timeout_ms)
            await installed.within(deadline, OutcomeUnknown("the snapshot was not installed in time"))
        finally:
            self._receiving.discard(member.group)

    async def _pull(self, member: Member, image: DataSnapshot, manifest: Manifest) -> Mapping[str, str]:
        """Where each file was put on this disk, by storage group and name. What an earlier attempt pulled is kept."""
        name = f"{image.last_term}-{image.last_index}"
        for other in member.store.staged():
            if other != name:
                member.store.discard_staged(other)
        folder = member.store.stage_folder(name)
        check_room(self._context, manifest, folder)
        return await FilePuller(self._context, _header(member)).pull(image, folder)


def check_room(context: Context, manifest: Manifest, folder: str) -> None:
    """Raise `DiskNearlyFull` unless the files of a snapshot fit in, beside those that are here and half the reserve."""
    disk = context.disk
    here = sum(disk.size(f"{folder}/{name}") for name in disk.list_folder(folder))
    needed = sum(file.size for file in manifest.files) - here
    free = disk.free_bytes() - context.settings.disk_reserve_mb * MIB // 2
    if needed > free:
        raise DiskNearlyFull(
            f"a snapshot takes {needed // MIB} MB more, {max(0, free) // MIB} MB may be used: make room"
        )


class FilePuller:
    """Pulls the files that a snapshot names, by `readFile` with their MD5 checked."""

    def __init__(self, context: Context, header: Any) -> None:
        self._context = context
        self._header = header

    async def pull(self, image: DataSnapshot, folder: str) -> Mapping[str, str]:
        """Where in `folder` each file was put, by storage group and name; what is there already is not pulled again."""
        staged: dict[str, str] = {}
        files = [file for _, slot in image.slots for file in slot.files]
        for number, file in enumerate(files):
            # The path ends in the storage group and the file's name (interface page).
            staged["/".join(file.path.split("/")[-2:])] = await self._pull_file(file, f"{folder}/{number}")
        return staged

    async def _pull_file(self, file: RemoteFile, path: str) -> str:
        disk = self._context.disk
        if disk.exists(path) and hashlib.md5(disk.view(path), usedforsecurity=False).digest() == file.md5:
            # An attempt that was cut off behind the last byte left it whole, and not synced.
            disk.append(path, truncate_to=disk.size(path)).close()
            return path
        digest = hashlib.md5(usedforsecurity=False)
        target = disk.append(path, truncate_to=0)
        try:
            async for chunk in self._chunks(file):
                digest.update(chunk)
                target.write(chunk)
            target.sync()
        finally:
            target.close()
        if digest.digest() != file.md5:
            raise RequestError(f"{file.path} of {file.source} did not come as it was offered (MD5): it is pulled again")
        return path

    async def _chunks(self, file: RemoteFile) -> AsyncIterator[bytes]:
        timeout_ms = self._context.settings.connection_time_out_ms
        offset = 0
        while True:
            arguments = (file.path, offset, PULL_BYTES, self._header)
            chunk = await self._context.transport.call(file.source, Port.DATA, "readFile", arguments, timeout_ms)
            if not chunk:
                return
            offset += len(chunk)
            yield chunk
