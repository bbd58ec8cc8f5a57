"""The meta group's state machine: a frozen value, and `apply`, which makes the next one from an entry.

Pure and deterministic: no clock, no setting, no other group's state enters it, so every node that has applied the same
meta index holds an equal value. What an entry cannot do is an outcome, the same everywhere; nothing is raised.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from iotdb_cluster.errors import (
    MalformedInput,
    MetadataRefused,
    PathExists,
    PathIllegal,
    RequestError,
    Unsupported,
)
from iotdb_cluster.members.meta.accounts import AccountChange, Accounts
from iotdb_cluster.members.meta.codec import Reader, Writer, read_all
from iotdb_cluster.members.meta.founding import Founding
from iotdb_cluster.members.meta.roster_codec import read_removal, read_report, read_roster, write_roster
from iotdb_cluster.members.meta.starts import read_start, write_start
from iotdb_cluster.members.moves.codec import Intent, MetaStep, Progress, read_book, read_meta_step, write_book
from iotdb_cluster.partition.moves import Decision, MoveBook
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import LogIndex, Node, NodeId, Slot, Start
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.plans import DeleteStorageGroupPlan, Plan, PlanKind, SetStorageGroupPlan, SetTtlPlan

T = TypeVar("T")

SNAPSHOT_VERSION = 3
READABLE_VERSIONS = (2, 3)
"""Version 2 knows no moves."""

ACCOUNTS_SECTION = "accounts"
TTLS_SECTION = "ttls"

Outcome = RequestError | None
"""None for done, or the error that every replica reports alike."""


@dataclass(frozen=True)
class MetaState:
    """Everything the meta log has said up to `applied`.

    Before the founding entry `founding` is None and nothing else is set. `roster` says who belongs to the cluster and
    to each group; `storage_groups` is sorted; `starts` has the last start that is known of each node.
    """

    founding: Founding | None = None
    roster: Roster | None = None
    storage_groups: tuple[str, ...] = ()
    starts: tuple[tuple[NodeId, Start], ...] = ()
    moves: MoveBook = field(default_factory=MoveBook)
    accounts: Accounts = field(default_factory=Accounts)
    ttls: tuple[tuple[str, int], ...] = ()
    """How many milliseconds points live, of the storage groups that say so, ascending."""
    applied: LogIndex = 0

    @property
    def is_founded(self) -> bool:
        """False while the node is blind."""
        return self.founding is not None

    @property
    def cluster_id(self) -> bytes:
        """16 random bytes; empty before the founding."""
        return self.founding.cluster_id if self.founding else b""

    @property
    def table(self) -> PartitionTable | None:
        """The partition table; None while the node is blind."""
        return None if self.roster is None else self.roster.table

    @property
    def tombstones(self) -> frozenset[NodeId]:
        """Identifiers that are never used again."""
        return frozenset() if self.roster is None else self.roster.tombstones

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of the cluster, also one that is only joining, in the order of their identifiers."""
        return () if self.roster is None else self.roster.nodes

    def node(self, identifier: NodeId) -> Node | None:
        """The node of this identifier, if it is in the cluster."""
        return None if self.roster is None else self.roster.node(identifier)

    def members_of(self, header: NodeId) -> tuple[Node, ...]:
        """The nodes to ask for a data group: its members as reported last, then those to come; none for no group.

        The header first, who leads when nothing is wrong.
        """
        record = None if self.roster is None else self.roster.group(header)
        if self.roster is None or record is None:
            return ()
        coming = (self.roster.wanted_members(header) or frozenset()) - record.members
        asked = (*sorted(record.members, key=lambda member: (member != header, member)), *sorted(coming))
        return tuple(node for node in map(self.roster.node, asked) if node is not None)

    def start_of(self, identifier: NodeId) -> Start | None:
        """The last start of a node that the log knows."""
        return dict(self.starts).get(identifier)

    def storage_group_of(self, path: str) -> str | None:
        """The storage group that `path` (a series, a device, or the group itself) lies in."""
        known = self.storage_groups
        while path:
            position = bisect_left(known, path)
            if position < len(known) and known[position] == path:
                return path
            path = path.rpartition(".")[0]
        return None

    def storage_groups_below(self, path: str) -> tuple[str, ...]:
        """Storage groups strictly below `path`."""
        prefix = path + "."
        first = bisect_left(self.storage_groups, prefix)
        last = first
        while last < len(self.storage_groups) and self.storage_groups[last].startswith(prefix):
            last += 1
        return self.storage_groups[first:last]

    def slot_of(self, storage_group: str) -> Slot:
        """The slot of a storage group in this cluster; only for a founded one."""
        if self.table is None or self.founding is None:
            raise MetadataRefused("the cluster is not founded yet")
        return slot_of(storage_group, self.table.slot_count, self.founding.hash_seed)

    # -- applying ----------------------------------------------------------------------------------------------------

    def apply(self, entry: Entry) -> "tuple[MetaState, Outcome]":
        """The state behind `entry`, and what became of it; an entry that cannot be applied changes `applied` only."""
        outcome: Outcome = None
        state = self
        try:
            state = self._after(entry)
        except RequestError as error:
            outcome = error
        return replace(state, applied=entry.index), outcome

    def _after(self, entry: Entry) -> "MetaState":
        match entry.kind:
            case EntryKind.EMPTY_CONTENT:
                return self
            case EntryKind.MEMBERSHIP:
                return self._after_membership(entry)
        if self.roster is None:
            raise MetadataRefused("an entry in front of the founding of the cluster")
        match entry.kind:
            case EntryKind.PHYSICAL_PLAN:
                return self._after_plan(decode_meta_plan(entry.body))
            case EntryKind.NODE_STARTED:
                return self._after_start(entry)
            case EntryKind.ADD_NODE:
                return replace(self, roster=self.roster.after_adding(read_all(entry.body, Reader.node)))
            case EntryKind.REMOVE_NODE:
                node, is_urgent = read_all(entry.body, read_removal)
                moving = (
                    f"move {self.moves.records[0].move.number} of slots is not over" if self.moves.records else None
                )
                return replace(self, roster=self.roster.after_removing(node, is_urgent=is_urgent, moving=moving))
            case EntryKind.ACCOUNT:
                return replace(self, accounts=self.accounts.after(AccountChange.decode(entry.body)))
            case EntryKind.GROUP_MEMBERS:
                return replace(self, roster=self.roster.after_report(*read_all(entry.body, read_report)))
            case EntryKind.MOVE_STEP:
                step = read_all(entry.body, read_meta_step)
                if isinstance(step, Intent):
                    return self._after_intent(step, self.roster)
                return self._after_progress(step, self.roster, entry.index)
            case _:
                raise Unsupported(f"the meta group has no use for an entry of type {entry.kind}")

    def _after_intent(self, intent: Intent, roster: Roster) -> "MetaState":
        """A move begins, of slots that its source owns to a group that stays; judged here, where everybody agrees."""
        table = roster.table
        source, target = NodeId(intent.source), NodeId(intent.target)
        if target not in table.identifiers or target in roster.leaving | roster.tombstones:
            raise MetadataRefused(f"no slots move to the data group of header {target}, which does not stay")
        foreign = [slot for slot in intent.slots if slot >= table.slot_count or table.header_of(slot) != source]
        if foreign:
            raise MetadataRefused(f"slot {foreign[0]} is not owned by the data group of header {source}")
        return replace(self, moves=self.moves.intend(intent.source, intent.target, intent.slots))

    def _after_progress(self, progress: Progress, roster: Roster, index: LogIndex) -> "MetaState":
        """What was reported of a move, or how it is decided; what comes late changes nothing."""
        before = self.moves.record(progress.move)
        match progress.step:
            case MetaStep.COPIED:
                return replace(self, moves=self.moves.report_copied(progress.move))
            case MetaStep.ENDED:
                if before is None or before.decision is None or before.move.role_of(progress.group) is None:
                    return self
                return replace(self, moves=self.moves.report_ended(progress.move, progress.group))
            case MetaStep.ABORT:
                return replace(self, moves=self.moves.decide(progress.move, Decision.ABORTED))
        if before is None or before.decision is not None:
            return self
        table = roster.table.with_owner(before.move.slots, NodeId(before.move.target)).at(index)
        moves = self.moves.decide(progress.move, Decision.FLIPPED)
        return replace(self, moves=moves, roster=replace(roster, table=table))

    def _after_membership(self, entry: Entry) -> "MetaState":
        membership, offset = Membership.decode(entry.body)
        if self.roster is not None:
            roster = self.roster.after_membership(membership, entry.index)
            starts = tuple(pair for pair in self.starts if pair[0] not in roster.tombstones)
            return replace(self, roster=roster, starts=starts)
        reader = Reader(entry.body, offset)
        founding = Founding.read(reader)
        reader.end()
        table = founding.table.at(entry.index)
        if membership != Membership(table.identifiers):
            raise MalformedInput("the founding entry's voters are not the nodes of its table")
        founding = replace(founding, table=table)
        return replace(self, founding=founding, roster=Roster.founded(table))

    def _after_plan(self, plan: Plan) -> "MetaState":
        match plan:
            case SetStorageGroupPlan(path):
                refusal = self.refuses_storage_group(path)
                if refusal is not None:
                    raise refusal
                return replace(self, storage_groups=tuple(sorted({*self.storage_groups, path})))
            case DeleteStorageGroupPlan(path):
                if path not in self.storage_groups:
                    raise MetadataRefused(f"{path} is not a storage group")
                kept = tuple(each for each in self.storage_groups if each != path)
                return replace(self, storage_groups=kept, ttls=self._ttls_with(path, None))
            case SetTtlPlan(path, ttl_ms):
                if path not in self.storage_groups:
                    raise MetadataRefused(f"{path} is not a storage group")
                return replace(self, ttls=self._ttls_with(path, ttl_ms))
            case _:
                raise Unsupported(f"the meta group has no use for a plan of type {type(plan).__name__}")

    def _ttls_with(self, path: str, ttl_ms: int | None) -> tuple[tuple[str, int], ...]:
        others = [entry for entry in self.ttls if entry[0] != path]
        return tuple(sorted(others if ttl_ms is None else [*others, (path, ttl_ms)]))

    def refuses_storage_group(self, path: str) -> RequestError | None:
        """Why `path` can't be made a storage group, if so; None, too, for one that exists already."""
        nodes = path.split(".")
        if nodes[0] != "root" or len(nodes) < 2 or not all(nodes) or "*" in nodes:
            return PathIllegal(f"a storage group is a path below root without wildcards, not {path!r}")
        above = self.storage_group_of(path)
        if above is not None and above != path:
            return MetadataRefused(f"{path} lies in the storage group {above}")
        below = self.storage_groups_below(path)
        if below:
            return PathExists(f"{path} lies above the storage group {below[0]}")
        return None

    def _after_start(self, entry: Entry) -> "MetaState":
        identifier, start = read_all(entry.body, read_start)
        known = dict(self.starts)
        if self.node(identifier) is None:
            raise MetadataRefused(f"node {identifier} is not in the cluster")
        last = known.get(identifier)
        if last is not None and last != start and start.count <= last.count:
            raise MetadataRefused(
                f"start {start.count} of node {identifier} comes behind its start {last.count}: an old copy of its disk"
            )
        known[identifier] = start
        return replace(self, starts=tuple(sorted(known.items())))

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def to_snapshot(self) -> bytes:
        """Everything, for behind the mirrored bytes of a meta snapshot; equal states give equal bytes."""
        writer = Writer()
        writer.i32(SNAPSHOT_VERSION)
        writer.i64(self.applied)
        writer.each([self.founding] if self.founding else [], lambda founding: founding.write(writer))
        writer.each([self.roster] if self.roster else [], lambda roster: write_roster(writer, roster))
        writer.each(self.storage_groups, writer.text)
        writer.each(self.starts, lambda pair: write_start(writer, *pair))
        write_book(writer, self.moves)
        if not self.accounts.is_empty:
            _write_section(writer, ACCOUNTS_SECTION, self.accounts.encode())
        if self.ttls:
            _write_section(writer, TTLS_SECTION, _encode_ttls(self.ttls))
        return writer.bytes()

    @classmethod
    def from_snapshot(cls, data: bytes) -> "MetaState":
        """The counterpart of `to_snapshot`; raises `MalformedInput`."""
        reader = Reader(data)
        version = reader.i32()
        if version not in READABLE_VERSIONS:
            raise MalformedInput(f"a meta snapshot of version {version}; this one reads {READABLE_VERSIONS}")
        applied = reader.i64()
        state = cls(
            applied=applied,
            founding=_only(reader.each(lambda: Founding.read(reader), 1)),
            roster=_only(reader.each(lambda: read_roster(reader), 1)),
            storage_groups=reader.each(reader.text, 4),
            starts=reader.each(lambda: read_start(reader), 20),
            moves=read_book(reader) if version >= 3 else MoveBook(),
        )
        while reader.left:
            state = state._with_section(reader.text(), reader.raw(reader.i32()))
        reader.end()
        if list(state.storage_groups) != sorted(set(state.storage_groups)):
            raise MalformedInput("storage groups that are not in ascending order")
        return state

    def _with_section(self, name: str, data: bytes) -> "MetaState":
        if name == ACCOUNTS_SECTION:
            return replace(self, accounts=Accounts.decode(data))
        if name == TTLS_SECTION:
            return replace(self, ttls=read_all(data, lambda reader: reader.each(lambda: _read_ttl(reader), 12)))
        raise MalformedInput(f"a meta snapshot with a section {name[:40]!r}, which this version does not know")


def _write_section(writer: Writer, name: str, data: bytes) -> None:
    """`name | i32 length | bytes`: what a snapshot has only where there is some of it."""
    writer.text(name)
    writer.i32(len(data))
    writer.raw(data)


def decode_meta_plan(body: bytes) -> Plan:
    """The plan of an entry in the meta log; raises `Unsupported` for one that has no place there."""
    if not body:
        raise MalformedInput("an entry without a plan")
    match body[0]:
        case PlanKind.SET_STORAGE_GROUP:
            return SetStorageGroupPlan(read_all(body[1:], Reader.text))
        case PlanKind.DELETE_STORAGE_GROUP:
            return DeleteStorageGroupPlan(read_all(body[1:], Reader.text))
        case PlanKind.SET_TTL:
            path, ttl_ms = read_all(body[1:], lambda reader: (reader.text(), reader.i64()))
            return SetTtlPlan(path, None if ttl_ms < 0 else ttl_ms)
    raise Unsupported(f"the meta group has no use for a plan of type {body[0]}")


def _only(values: Iterable[T]) -> T | None:
    found = list(values)
    if len(found) > 1:
        raise MalformedInput(f"{len(found)} values where there is at most one")
    return found[0] if found else None


def _encode_ttls(ttls: Iterable[tuple[str, int]]) -> bytes:
    writer = Writer()
    writer.each(tuple(ttls), lambda entry: _write_ttl(writer, *entry))
    return writer.bytes()


def _write_ttl(writer: Writer, path: str, ttl_ms: int) -> None:
    writer.text(path)
    writer.i64(ttl_ms)


def _read_ttl(reader: Reader) -> tuple[str, int]:
    return reader.text(), reader.i64()
