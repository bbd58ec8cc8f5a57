"""One node without its sockets: identity, log, groups, services, and its life from the first boot on (DESIGN 3, 9).

A server gives it threads, sockets and a real disk; the simulator gives it virtual ones. `open` reads the disk, `turn`
is called again and again by one thread, `live` is driven once by another.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from iotdb_cluster.errors import Corruption, OutcomeUnknown, RequestError, StartRefused
from iotdb_cluster.members.clock import Clock, Deadline
from iotdb_cluster.members.context import Context, Submit
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.offered_files import OfferedFiles
from iotdb_cluster.members.data.readers import Readers
from iotdb_cluster.members.data.repair import Repairs
from iotdb_cluster.members.data.snapshots import SnapshotReceiver, SnapshotSender
from iotdb_cluster.members.data.time_to_live import Expiring
from iotdb_cluster.members.life.founding import Founders
from iotdb_cluster.members.life.groups import GroupMaker, founding_in_log, nodes_in_log, sweep_folders
from iotdb_cluster.members.life.introductions import Introductions, introduction
from iotdb_cluster.members.life.joining import Joiner
from iotdb_cluster.members.life.replicas import Replicas
from iotdb_cluster.members.life.steward import Steward
from iotdb_cluster.members.meta.founding import Founding
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.meta.starts import started_payload
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.moves.mover import Mover
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.members.news import News
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.reporting import node_report
from iotdb_cluster.members.router import Executor, Router
from iotdb_cluster.members.runtime import Runtime
from iotdb_cluster.members.tidying import Tidying
from iotdb_cluster.members.transport import Transport
from iotdb_cluster.members.waiting import Proposal
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.partition.slots import HASH_SEED, SLOT_COUNT
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.raft.events import ContextChanged
from iotdb_cluster.settings import Settings
from iotdb_cluster.storage.group_log import RecoveredGroup
from iotdb_cluster.storage.identity import Identity, IdentityStore, LocalAddress, Tombstone
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.storage.settings import JournalSettings
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import BEFORE_FIRST, META_GROUP, GroupId, Node, NodeId, Slot
from iotdb_cluster.types.plans import PlanKind
from iotdb_cluster.types.report import Report

log = structlog.get_logger()

MIB = 1024 * 1024
MAX_IDENTIFIER = 2**31 - 1
ASK_AGAIN_MS = 500
"""Pause of a node that waits for others at its start."""

VIGIL_MS = 5_000
"""A node without a leader of the meta group asks the others this often whether it is still a member."""


class ClusterNode:
    """Everything of a node that does not depend on what carries its calls and its time."""

    def __init__(
        self,
        *,
        settings: Settings,
        disk: Disk,
        clock: Clock,
        transport: Transport,
        draw: Callable[[int, int], int],
        submit: Submit,
        wake: Callable[[], None],
        removed: Callable[[str], None],
        moves: MoveSettings | None = None,
    ) -> None:
        self._settings = settings
        self._removed = removed
        self._identity = IdentityStore(disk)
        journal = Journal(disk, settings=JournalSettings(segment_max_bytes=settings.segment_max_mb * MIB))
        runtime = Runtime(clock=clock, journal=journal, wake=wake)
        nobody = Node(settings.local_ip, settings.local_meta_port, NodeId(0), settings.local_data_port)
        self.context = Context(nobody, settings, clock, runtime, transport, disk, self, draw, submit)
        self.meta: MetaGroupMember | None = None
        self.router = Router(self.context, lambda: self.state, self._executor)
        self.offered_files = OfferedFiles(disk, clock, settings.snapshot_timeout_ms)
        self.readers = Readers(clock, max_count=settings.read_open_max_count, idle_ms=lambda: settings.reader_idle_ms)
        seeds = [(seed.ip, seed.meta_port, seed.data_port) for seed in settings.seeds]
        self.introductions = Introductions(
            lambda: self.me, settings, seeds, lambda: self._identity.current, lambda: self.state
        )
        self._data: dict[GroupId, DataGroupMember] = {}
        self._hints: dict[NodeId, Node] = {}
        self._recovered: dict[GroupId, RecoveredGroup] = {}
        self._replicas = Replicas(self, self._maker)
        self._repairs = Repairs(self, self._maker)
        self.mover = Mover(self, moves or MoveSettings())
        self._steward = Steward(self, self._replicas, self.mover, moves)
        self.news = News()
        self._end: Pending[None] = Pending()
        runtime.after_turns(self._steward.after_turn)
        runtime.after_turns(Tidying(self.readers, self.offered_files).after_turn)
        runtime.after_turns(Expiring(self.context, lambda: self.state, lambda: self.data_members).after_turn)

    # -- what services see -------------------------------------------------------------------------------------------

    @property
    def me(self) -> Node:
        return self.context.me

    @property
    def identity(self) -> Identity:
        """Who this node is, as its folder says."""
        return self._identity.current

    @property
    def state(self) -> MetaState:
        return MetaState() if self.meta is None else self.meta.state

    @property
    def data_members(self) -> Sequence[DataGroupMember]:
        """The data groups this node is in, by header."""
        return [self._data[group] for group in sorted(self._data)]

    def data(self, group: GroupId) -> DataGroupMember | None:
        return self._data.get(group)

    def find(self, identifier: NodeId) -> Node | None:
        state = self.state
        if identifier in state.tombstones:
            return None
        return state.node(identifier) or self._hints.get(identifier)

    def heard_of(self, node: Node) -> None:
        self._hints[node.identifier] = node

    def report(self) -> Report:
        return node_report(self)

    def _executor(self, group: GroupId) -> Executor | None:
        return self.meta if group == META_GROUP else self._data.get(group)

    # -- the start ---------------------------------------------------------------------------------------------------

    def open(self, *, joins: bool = False) -> None:
        """Read the folder and make its groups; raises `StartRefused` or `Corruption`.

        With `joins` a folder that belongs to no cluster yet is to be added to one that there is; it remembers that.
        """
        address = LocalAddress(
            self._settings.local_ip,
            self._settings.local_meta_port,
            self._settings.local_data_port,
            self._settings.local_client_port,
        )
        identity = self._identity.load()
        if identity is None:
            if self.context.disk.list_folder("raft") or self.context.disk.list_folder("data"):
                raise StartRefused(
                    f"{self._settings.data_dir} holds a log or data but no file 'identity': "
                    "'iotdb-cluster check DIR' shows what is there"
                )
            identity = self._identity.create(self._new_identifier(), address, joins=joins)
        if identity.cluster_id is not None:
            self._check_address(identity.address, address)
        self._identity.check_may_start()
        if joins:
            identity = self._identity.join()
        self._become(identity.identifier)
        self._recovered = self.context.runtime.journal.recover()
        self._open_meta(self._recovered.get(META_GROUP))
        sweep_folders(self.context.disk, self._recovered)
        for group in sorted(self._recovered):
            if group != META_GROUP and self._recovered[group].present:
                header = self.find(NodeId(group)) or Node("", 0, NodeId(group), 0)
                self._open_data_group(group, header)
        # Only a start that is not refused counts: of others, again and again, the list that `hello` shows would grow.
        self._identity.record_start(self.context.draw(0, MAX_IDENTIFIER), address)
        log.info("node_opened", node=str(self.me), groups=len(self._data), blind=identity.cluster_id is None)

    def _open_meta(self, meta: RecoveredGroup | None) -> None:
        identity = self.identity
        if identity.cluster_id is not None and meta is None:
            raise StartRefused("the log of this folder is missing: 'iotdb-cluster check DIR' shows what is there")
        if meta is not None:
            self._hints.update({node.identifier: node for node in nodes_in_log(meta)})
        if identity.cluster_id is not None or identity.joins:
            # Who joins has an empty member, which belongs to nobody until the cluster's leader fills it.
            self._set_meta(self._maker().meta(meta, frozenset(), founded=True))
        elif meta is not None and meta.entries:
            self._set_meta(self._maker().meta(meta, frozenset(self._hints), founded=False))

    def _open_data_group(self, group: GroupId, header: Node) -> None:
        recovered = self._recovered[group]
        try:
            member = self._maker().recovered_data_group(header, recovered)
        except Corruption as damage:
            if not self._repairs.take(group, recovered, damage):
                raise
        else:
            self._add(member)

    def turn(self) -> int:
        """One turn of the runtime; the milliseconds until the next one is due."""
        return self.context.runtime.turn()

    async def live(self) -> None:
        """Find the cluster, join it, or found it with the other seed nodes; make this start known; then watch.

        Returns when the node is removed, or after `end`. Raises `StartRefused` where it has no place.
        """
        if not self.state.is_founded and self.identity.cluster_id is None:
            await (Joiner(self).join() if self.identity.joins else Founders(self).meet())
        while not self._end.done:
            await self._repairs.run()
            is_announced = await self._announce_start() and self._repairs.is_over
            if self.meta is not None and self.meta.raft.leader is None and await self._was_removed():
                return
            await self._pause(VIGIL_MS if is_announced else ASK_AGAIN_MS)

    async def move_slots(self) -> None:
        """Bring slots here that move to this node's groups, beside `live`; returns soon after `end`."""
        await self.mover.work()

    @property
    def is_ending(self) -> bool:
        """True after `end`."""
        return self._end.done

    async def _pause(self, duration_ms: int) -> None:
        over = OutcomeUnknown("the pause is over")
        try:
            await self._end.within(Deadline.after(self.context.clock, duration_ms), over)
        except OutcomeUnknown as error:
            if error is not over:
                raise

    def end(self) -> None:
        """Let `live` return soon; from any thread."""
        self._end.resolve(None)

    async def hand_over(self) -> None:
        """Before a planned stop: let others lead, for at most half a second. The node serves meanwhile."""
        await self._steward.hand_over()

    @property
    def is_stopping(self) -> bool:
        """True once it hands its groups over; it takes none any more."""
        return self._steward.is_stopping

    def close(self) -> None:
        """Sync what waits and close the log; what is not sealed is in it."""
        self.context.runtime.journal.close()

    def _check_address(self, known: LocalAddress, given: LocalAddress) -> None:
        if (known.ip, known.meta_port, known.data_port) != (given.ip, given.meta_port, given.data_port):
            raise StartRefused(
                f"this folder's node is {known.ip}:{known.meta_port}:{known.data_port} in its cluster, the settings "
                f"say {given.ip}:{given.meta_port}:{given.data_port}: change local_ip and the ports back, or data_dir"
            )

    def _new_identifier(self) -> NodeId:
        return NodeId(self.context.draw(1, MAX_IDENTIFIER))

    def _become(self, identifier: NodeId) -> None:
        self.context = replace(self.context, me=replace(self.context.me, identifier=identifier))
        self.router = Router(self.context, lambda: self.state, self._executor)

    def _maker(self) -> GroupMaker:
        sender = SnapshotSender(self.context, self.offered_files)
        receiver = SnapshotReceiver(self.context)
        return GroupMaker(
            self.context,
            self,
            lambda path: self.state.storage_group_of(path),
            self._meta_catch_up,
            sender,
            receiver,
            self.readers,
            self._founding_slots,
        )

    def _founding_slots(self, header: NodeId) -> Sequence[Slot]:
        """What the group of a header owned when the cluster was founded: nothing, where it came later.

        At a start the meta log may not be applied yet; its first entry, or its snapshot, says it all the same.
        """
        founding = self.state.founding or founding_in_log(self._recovered.get(META_GROUP))
        if founding is None or header not in founding.table.identifiers:
            return ()
        return founding.table.slots_of(header)

    def _set_meta(self, member: MetaGroupMember) -> None:
        self.meta = member
        self.context.runtime.add(member)

    def _add(self, member: DataGroupMember) -> None:
        member.moves.install_wanted = lambda deed: self.mover.want(member.group, deed)
        member.sealing.is_fence_up = lambda: self.state.moves.is_fence_up
        self._data[member.group] = member
        self.context.runtime.add(member)

    def add_data_member(self, member: DataGroupMember) -> None:
        """The node is in one more group. Runtime's thread."""
        self._add(member)

    def is_repaired(self, group: GroupId) -> bool:
        """True while a group's files are being pulled again: it has a log here, and no member yet."""
        return self._repairs.has(group)

    def forget_data_member(self, group: GroupId) -> None:
        """The node is in one group less. Runtime's thread."""
        del self._data[group]

    async def _meta_catch_up(self, deadline: Deadline) -> None:
        if self.meta is not None:
            await self.meta.catch_up(deadline)

    # -- the first boot ----------------------------------------------------------------------------------------------

    def meet(self, founders: Sequence[Node]) -> None:
        """All seed nodes are known: take part in founding the cluster with them. In the runtime's thread.

        When one of them has taken another identifier since, the member is made anew; its term, vote and log stay.
        """
        if self.state.is_founded:
            return
        self._hints = {node.identifier: node for node in founders}
        identifiers = frozenset(self._hints)
        recovered = self._recovered.get(META_GROUP)
        if self.meta is not None:
            raft = self.meta.raft
            recovered = RecoveredGroup(
                True, raft.hard_state, raft.log.snapshot, None, raft.log.entries(1, raft.log.last_index), None
            )
        self._set_meta(self._maker().meta(recovered, identifiers, founded=False))
        log.info("seed_nodes_met", nodes=[str(node) for node in founders])

    def regenerate_identifier(self) -> None:
        """Take a new identifier; nobody may count on the old one yet, so only before the seed nodes have met."""
        if self.meta is None and self.identity.cluster_id is None:
            self._become(self._identity.change_identifier(self._new_identifier()).identifier)
            log.warning("identifier_changed", node=str(self.me))

    async def take_new_identifier(self) -> None:
        """The one that this joining node has is another's: take a new one, unless the cluster has sent anything yet."""
        renamed: Pending[None] = Pending()
        self.context.runtime.call_soon(lambda: self._take_new_identifier(renamed))
        await renamed

    def _take_new_identifier(self, renamed: Pending[None]) -> None:
        assert self.meta is not None, "a joining node has an empty member of the meta group"
        raft = self.meta.raft
        if self.identity.cluster_id is None and raft.last_id == BEFORE_FIRST:
            self.meta = None
            self.regenerate_identifier()
            kept = RecoveredGroup(True, raft.hard_state, BEFORE_FIRST, None, (), None)
            self._set_meta(self._maker().meta(kept, frozenset(), founded=True))
        renamed.resolve(None)

    def leads_unfounded(self) -> None:
        cluster_id = bytes(self.context.draw(0, 255) for _ in range(16))
        table = PartitionTable.initial(
            self._hints.values(), replica_num=self._settings.replica_num, slot_count=SLOT_COUNT
        )
        founding = Founding(cluster_id, HASH_SEED, table)
        self.context.runtime.propose(META_GROUP, Proposal((founding.payload(),), (None,)))

    # -- following the meta log --------------------------------------------------------------------------------------

    def meta_changed(self, before: MetaState, after: MetaState, *, is_news: bool) -> None:
        if not before.is_founded and after.is_founded:
            self._identity.found(after.cluster_id)
            log.info("cluster_known", cluster_id=after.cluster_id.hex(), nodes=len(after.nodes))
        if before.roster is not None and after.roster is not None and after.tombstones != before.tombstones:
            self._see_off(before.roster, after, is_news=is_news)
        start = after.start_of(self.me.identifier)
        if start is not None and start != before.start_of(self.me.identifier):
            self._identity.acknowledge_start(start)
            if start == self.identity.start:
                log.info("start_known", count=start.count)

    def meta_applied(self) -> None:
        self._replicas.tell_context()
        self.news.tell()

    def _see_off(self, before: Roster, after: MetaState, *, is_news: bool) -> None:
        """Nodes are gone for ever: they count for nothing in the meta group's votes, and are told (rules 3.5, 4.5)."""
        assert self.meta is not None
        for identifier in sorted(after.tombstones - before.tombstones):
            gone = before.node(identifier)
            log.info("node_removed", node=str(gone or identifier))
            if gone is not None and is_news:
                self._steward.exiles.removed(gone, after.applied)
        last = self.meta.raft.last_id
        self.context.runtime.post(META_GROUP, ContextChanged(last, last, after.tombstones))

    async def _was_removed(self) -> bool:
        """Ask the other nodes; one that knows this node to be removed ends it.

        Raises `StartRefused` when one of them shows that this folder is an old copy: nobody will deal with it any more.
        """
        known = {node.identifier: node for node in (*self._hints.values(), *self.state.nodes)}
        for identifier in sorted(known.keys() - {self.me.identifier}):
            node = known[identifier]
            try:
                answer = await self.context.transport.introduce(
                    node.ip, node.meta_port, self._settings.election_timeout_max_ms
                )
            except RequestError:
                continue  # that one can't be asked
            peer = introduction(answer)
            if peer.removed_at is not None and peer.cluster_id == self.identity.cluster_id:
                self.exiled(peer.removed_at)
                return True
            if peer.is_old_copy and peer.cluster_id == self.identity.cluster_id:
                raise StartRefused(f"{peer.node} refuses this node: {peer.refusal}")
        return False

    def exiled(self, meta_index: int) -> None:
        self.context.runtime.call_soon(lambda: self._bury(meta_index))

    def _bury(self, meta_index: int) -> None:
        why = "the cluster removed this node"
        if self.identity.tombstone is not None:
            return
        self._identity.bury(Tombstone(why, self.context.clock.wall_ms(), meta_index))
        self._removed(f"{why} (meta log index {meta_index}); its data stays in {self._settings.data_dir}")

    # -- starts ------------------------------------------------------------------------------------------------------

    async def _announce_start(self) -> bool:
        """Make this start known by the meta log, so that an old copy of this folder is told apart for ever.

        True when it is known.
        """
        start = self.identity.start
        if self.state.start_of(self.me.identifier) == start:
            return True
        plan = bytes((PlanKind.NODE_STARTED,)) + started_payload(self.me.identifier, start).body
        timeout_ms = min(self._settings.connection_time_out_ms, 4 * self._settings.election_timeout_max_ms)
        try:
            deadline = Deadline.after(self.context.clock, timeout_ms)
            (outcome,) = await self.router.execute_in(META_GROUP, (plan,), deadline)
        except RequestError as error:
            log.info("start_not_announced_yet", reason=str(error))
        else:
            if outcome is not None:
                log.warning("start_not_accepted", reason=str(outcome))
        return self.state.start_of(self.me.identifier) == start
