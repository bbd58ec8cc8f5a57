"""Which group a plan belongs to, and the way to that group's leader from any node (DESIGN 3.9).

A call is sent again only when the attempt before certainly took no effect: it was never sent, or the answer was "not
leader". After anything else its outcome is reported as unknown.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog

from iotdb_cluster.errors import (
    Busy,
    ClusterError,
    MetadataRefused,
    NoLeader,
    NotReady,
    OutcomeUnknown,
    PathExists,
    PathIllegal,
    PathNotFound,
    ReadOnly,
    RemoteError,
    RequestError,
    SlotMoving,
    StatusCode,
    StorageGroupUnknown,
    Unreachable,
)
from iotdb_cluster.members import structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.convert import node_of, node_struct
from iotdb_cluster.members.data.planning import check_first
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.pending import growing_ms, pause
from iotdb_cluster.members.transport import Port
from iotdb_cluster.members.waiting import NotLeader, Outcome
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types import paths
from iotdb_cluster.types.identity import META_GROUP, GroupId, Node, NodeId
from iotdb_cluster.types.plans import DeletePlan, DeleteTimeseriesPlan, PlanKind, SetStorageGroupPlan
from iotdb_cluster.wire.plans import decode_plan, encode_plan

log = structlog.get_logger()

RETRY_MS = 30
"""First pause before the members of a group are asked again who leads; later ones grow."""

_INSERTS = frozenset({PlanKind.INSERT, PlanKind.BATCHINSERT})
_ROUTES_MAX = 4_096

_PATTERN_KINDS = frozenset({PlanKind.DELETE, PlanKind.DELETE_TIMESERIES})


class Executor(Protocol):
    """The local member of a group, as far as plans go."""

    @property
    def leader(self) -> NodeId | None:
        """Who is thought to lead."""

    async def execute(self, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        """Propose the plans here; raises `NotLeader` when this member does not lead."""

    async def catch_up(self, deadline: Deadline) -> None:
        """Wait until everything that was acknowledged before this call is applied here."""


class Router:
    """Takes any plan at any node and brings it to where it belongs. May be used from any thread."""

    def __init__(
        self,
        context: Context,
        state: Callable[[], MetaState],
        member: Callable[[GroupId], Executor | None],
    ) -> None:
        self._context = context
        self._state = state
        self._member = member
        self._routes: tuple[MetaState | None, dict[str, GroupId]] = (None, {})
        """Groups of devices that were written to, and the state in which they are right."""

    async def execute(self, kind: int, path: str, plan: bytes, deadline: Deadline) -> None:
        """Carry out one plan, whose target is `path`; returns when it is applied, or raises why not."""
        if kind in _INSERTS:
            await self._insert(path, plan, deadline)
            return
        if kind in (PlanKind.SET_STORAGE_GROUP, PlanKind.SET_TTL):
            await self._one(META_GROUP, plan, deadline)
            return
        if kind == PlanKind.DELETE_STORAGE_GROUP:
            await self._delete_storage_group(path, plan, deadline)
            return
        if kind in _PATTERN_KINDS:
            await self._everywhere(path, plan, deadline)
            return
        # CREATE TIMESERIES is a matter of schema, which needs its storage group; an insert may make what it needs.
        may_make = kind != PlanKind.CREATE_TIMESERIES or self._context.settings.enable_auto_create_schema
        may_make = may_make and kind != PlanKind.EXPIRE
        while True:
            group = await self.group_of_path(path, deadline, made_for=plan if may_make else None)
            (outcome,) = await self.execute_in(group, (plan,), deadline)
            if not isinstance(outcome, SlotMoving):
                break
            await self._pause(group, deadline, outcome, 0)
        if outcome is not None:
            raise outcome

    async def _insert(self, device: str, plan: bytes, deadline: Deadline) -> None:
        is_level = False
        while True:
            group = self._route(device)
            if group is None:
                group = await self.group_of_path(device, deadline, made_for=plan)
            try:
                await self._one(group, plan, deadline)
                return
            except StorageGroupUnknown:
                # It was deleted, and this node had not heard of that.
                if is_level:
                    raise
                await self._level_with_meta_group(deadline)
                is_level = True
            except SlotMoving as moving:
                await self._pause(group, deadline, moving, 0)

    def _route(self, path: str) -> GroupId | None:
        """As `group_of_path`, from memory where the same was asked before; None when there is no storage group."""
        state = self.ready_state()
        known_in, routes = self._routes
        if known_in is not state:
            routes = {}
            self._routes = (state, routes)
        group = routes.get(path)
        if group is None:
            storage_group = state.storage_group_of(path)
            if storage_group is None:
                return None
            if len(routes) >= _ROUTES_MAX:
                routes.clear()
            group = routes[path] = self.group_of_storage_group(storage_group)
        return group

    async def set_storage_group(self, path: str, deadline: Deadline) -> None:
        """Make a storage group; done already is done."""
        await self._one(META_GROUP, encode_plan(SetStorageGroupPlan(path)), deadline)

    async def group_of_path(self, path: str, deadline: Deadline, *, made_for: bytes | None) -> GroupId:
        """The data group that owns the storage group of `path`.

        A missing storage group is made at level 2 for the plan `made_for`, unless that would be refused there; without
        one, `StorageGroupUnknown` is raised.
        """
        storage_group = self.ready_state().storage_group_of(path)
        if storage_group is None:
            # It may have been made by another node, or by this one, before the entry was applied here: making one at
            # level 2 would then be refused for lying above it, and "unknown" would be wrong.
            await self._level_with_meta_group(deadline)
            storage_group = self.ready_state().storage_group_of(path)
        if storage_group is None:
            if made_for is None:
                raise StorageGroupUnknown(f"no storage group is a prefix of {path}")
            storage_group = await self._create_storage_group(path, made_for, deadline)
        return self.group_of_storage_group(storage_group)

    def group_of_storage_group(self, storage_group: str) -> GroupId:
        """The data group whose header holds the storage group's slot."""
        table = self.ready_state().table
        assert table is not None
        return GroupId(table.header_of(slot_of(storage_group, table.slot_count)))

    def check_free(self, path: str) -> None:
        """Raise `PathExists` where a series would take the place of a storage group, or of what lies above one."""
        state = self.ready_state()
        if path == paths.ROOT or path in state.storage_groups or state.storage_groups_below(path):
            raise PathExists(f"{path} is there already, as a storage group or above one")

    def ready_state(self) -> MetaState:
        """The meta group's state; raises `NotReady` while this node is blind."""
        state = self._state()
        if state.table is None:
            raise NotReady("this node does not know the partition table yet; ask again, or ask another node")
        return state

    async def _create_storage_group(self, path: str, plan: bytes, deadline: Deadline) -> str:
        if not self._context.settings.enable_auto_create_schema:
            raise PathNotFound(f"{path} does not exist and enable_auto_create_schema is off")
        nodes = paths.nodes_of(path)
        if len(nodes) < 2:
            raise PathIllegal(f"{path} has no node below root to make a storage group of")
        check_first(plan)
        storage_group = ".".join(nodes[:2])
        await self.set_storage_group(storage_group, deadline)
        return storage_group

    async def _everywhere(self, pattern: str, plan: bytes, deadline: Deadline) -> None:
        """A plan over a pattern goes to every group with a storage group that can hold a match."""
        state = self.ready_state()
        if state.storage_group_of(pattern) is None:
            # It can meet several storage groups, and this node may not have heard yet of one that was written to.
            await self._level_with_meta_group(deadline)
            state = self.ready_state()
        matched = paths.Pattern.parse(pattern)
        left = {
            each: narrowed_plan(plan, each)
            for each in state.storage_groups
            if matched.may_match_below(paths.nodes_of(each))
        }
        if not left:
            raise PathNotFound(f"{pattern} matches no storage group")
        missed: list[PathNotFound] = []
        done = 0
        while left:
            group = min(map(self.group_of_storage_group, left))
            asked = [each for each in sorted(left) if self.group_of_storage_group(each) == group]
            try:
                outcomes = await self.execute_in(group, [left[each] for each in asked], deadline)
                moving = [outcome for outcome in outcomes if isinstance(outcome, SlotMoving)]
                if len(moving) == len(outcomes):
                    await self._pause(group, deadline, moving[0], 0)
            except NoLeader as refusal:
                if done > len(missed):
                    # Said to be without effect, it would be repeated as a whole, over what was written since.
                    raise OutcomeUnknown(f"carried out in part: {refusal.message}") from refusal
                raise
            for storage_group, outcome in zip(asked, outcomes, strict=True):
                if isinstance(outcome, SlotMoving):
                    continue
                del left[storage_group]
                done += 1
                if isinstance(outcome, PathNotFound):
                    missed.append(outcome)
                elif outcome is not None:
                    raise outcome
        # A storage group in which nothing matches is no fault as long as another one had a match.
        if len(missed) == done:
            raise missed[0]

    async def _level_with_meta_group(self, deadline: Deadline) -> None:
        meta = self._member(META_GROUP)
        if meta is None:
            raise NotReady("this node does not know the partition table yet; ask again, or ask another node")
        try:
            await meta.catch_up(deadline)
        except OutcomeUnknown as late:
            raise NoLeader(f"what the meta group has agreed on was not known here in time: {late.message}") from late

    async def _delete_storage_group(self, path: str, plan: bytes, deadline: Deadline) -> None:
        """Series and data first, then the storage group, then what was written meanwhile.

        Cut short, it leaves an empty storage group, and never data that a new one of the same name would show again.
        """
        has_begun = False
        try:
            if path in self.ready_state().storage_groups:
                await self._delete_content(path, plan, deadline)
                has_begun = True
            await self._one(META_GROUP, plan, deadline)
            has_begun = True
            await self._delete_content(path, plan, deadline)
        except NoLeader as refusal:
            if not has_begun:
                raise
            # Said to be without effect, it would be repeated as a whole, over what was written since.
            raise OutcomeUnknown(f"carried out in part: {refusal.message}") from refusal

    async def _delete_content(self, path: str, plan: bytes, deadline: Deadline) -> None:
        while True:
            group = self.group_of_storage_group(path)
            (outcome,) = await self.execute_in(group, (plan,), deadline)
            if not isinstance(outcome, SlotMoving):
                break
            await self._pause(group, deadline, outcome, 0)
        # A data group hears of a storage group with its first series only.
        if outcome is not None and not isinstance(outcome, MetadataRefused):
            raise outcome

    async def _one(self, group: GroupId, plan: bytes, deadline: Deadline) -> None:
        (outcome,) = await self.execute_in(group, (plan,), deadline)
        if outcome is not None:
            raise outcome

    async def execute_in(self, group: GroupId, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        """Bring plans to the leader of a group, wherever it is, and return an outcome for each."""
        asked: set[NodeId] = set()
        hint: NodeId | None = None
        refusal: ClusterError | None = None
        rounds = 0
        while True:
            target = self._next_target(group, hint, asked)
            if target is None:
                asked.clear()
                hint = None
                await self._pause(group, deadline, refusal, rounds)
                rounds += 1
                continue
            asked.add(target)
            try:
                if target == self._context.me.identifier:
                    return await self._locally(group, plans, deadline)
                return await self._send((group, target), plans, deadline)
            except NotLeader as not_leader:
                refusal, hint = not_leader, not_leader.leader
            except (Unreachable, Busy) as fault:
                refusal, hint = fault, None

    async def _locally(self, group: GroupId, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        member = self._member(group)
        if member is None:
            raise NotLeader(f"this node is no member of group {group}", None)
        return await member.execute(plans, deadline)

    async def _send(self, to: tuple[GroupId, NodeId], plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        """Propose at another node, which does not forward."""
        group, target = to
        node = self._context.directory.find(target)
        if node is None:
            raise NotLeader(f"the address of node {target} is not known here", None)
        header = None if group == META_GROUP else self._header(group)
        left_ms = deadline.left_ms(self._context.clock.now_ms())
        request = structs.ProposeRequest(header=header, plans=list(plans), deadline_ms=left_ms, hops=1)
        port = Port.META if group == META_GROUP else Port.DATA
        try:
            answer = await self._context.transport.call(node, port, "propose", (request,), left_ms)
        except RemoteError as failure:
            if failure.code in _NOT_BEGUN:
                # It stops, say: whoever asks goes on to the next leader, and is not told that it may have taken effect.
                raise Unreachable(f"{node}: {failure.message}") from failure
            raise OutcomeUnknown(f"{node} failed on the call: {failure.message}") from failure
        if answer.not_leader:
            leader = None if answer.leader is None else node_of(answer.leader).identifier
            raise NotLeader(f"{node} does not lead group {group}", leader)
        return [outcome_of(status) for status in answer.statuses]

    def _header(self, group: GroupId) -> Any:
        table = self.ready_state().table
        assert table is not None
        try:
            return node_struct(table.node(NodeId(group)))
        except KeyError:
            raise NoLeader(f"no group of header {group} is in the partition table any more") from None

    def _next_target(self, group: GroupId, hint: NodeId | None, asked: set[NodeId]) -> NodeId | None:
        """Whom to ask next: the hinted leader, the one this node knows, then every member; each once in a round."""
        self.ready_state()
        if hint is not None and hint not in asked:
            return hint
        own = self._member(group)
        leader = None if own is None else own.leader
        if leader is not None and leader not in asked:
            return leader
        return next((node.identifier for node in self._members_of(group) if node.identifier not in asked), None)

    def _members_of(self, group: GroupId) -> Sequence[Node]:
        state = self.ready_state()
        assert state.table is not None
        if group == META_GROUP:
            return state.nodes
        return state.members_of(NodeId(group))

    async def _pause(self, group: GroupId, deadline: Deadline, refusal: ClusterError | None, rounds: int) -> None:
        now_ms = self._context.clock.now_ms()
        left_ms = deadline.left_ms(now_ms)
        if left_ms <= RETRY_MS:
            if isinstance(refusal, SlotMoving):
                raise SlotMoving(f"{refusal.message}; asked again until the time was over, it had no effect")
            name = "the meta group" if group == META_GROUP else f"the data group of header {group}"
            reason = f"no leader of {name} was found in time; it had no effect ({refusal})"
            raise ReadOnly(f"this node leaves the cluster: {reason}") if self._leaves else NoLeader(reason)
        longest_ms = self._context.settings.election_timeout_min_ms // 6
        pause_ms = growing_ms(rounds, RETRY_MS, longest_ms)
        await pause(Deadline(now_ms + min(pause_ms, left_ms - RETRY_MS)))

    @property
    def _leaves(self) -> bool:
        """This node is on its way out of the cluster, or gone."""
        state, me = self._state(), self._context.me.identifier
        return me in state.tombstones or (state.roster is not None and me in state.roster.leaving)


def narrowed_plan(plan: bytes, storage_group: str) -> bytes:
    """A delete by a pattern, of what it matches in one storage group alone: each is judged, and repeated, by itself."""
    found = decode_plan(plan)
    assert isinstance(found, DeletePlan | DeleteTimeseriesPlan)
    below = paths.nodes_of(found.path)[len(paths.nodes_of(storage_group)) :]
    return encode_plan(replace(found, path=".".join((storage_group, *below))))


def outcome_of(status: Any) -> Outcome:
    """An outcome as another node reported it."""
    code, message = status.statusType.code, status.statusType.message
    if code == StatusCode.SUCCESS_STATUS:
        return None
    kind = _KINDS.get(code, RequestError)
    try:
        return kind(message, code=StatusCode(code))
    except ValueError:
        return RequestError(f"{code}: {message}")


_NOT_BEGUN = frozenset({StatusCode.NO_LEADER, StatusCode.PARTITION_NOT_READY})
"""What a node answers by an exception that has not begun with a call."""

_KINDS: dict[int, type[RequestError]] = {
    StatusCode.PATH_NOT_EXIST_ERROR: PathNotFound,
    StatusCode.METADATA_ERROR: MetadataRefused,
    StatusCode.STORAGE_GROUP_ERROR: StorageGroupUnknown,
    StatusCode.TIME_OUT: OutcomeUnknown,
    StatusCode.NO_LEADER: SlotMoving,
}
"""Errors that are told apart by class somewhere; the others travel by their code.

An outcome 702 of another node had no effect there, whatever the reason: it is treated as that of a slot that moves.
"""
