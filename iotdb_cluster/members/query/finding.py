"""Which series match the patterns of a statement, over all data groups."""

from collections.abc import Iterable, Mapping, Sequence

from iotdb_cluster.errors import PathIllegal, RequestError, SlotMoving, StatusCode
from iotdb_cluster.members import structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.slot_reads import check_held, check_readable, only_owned, owner_of, storage_groups_met
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.pending import growing_ms, pause
from iotdb_cluster.members.query.asking import Elsewhere, is_unknown_call
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.together import together
from iotdb_cluster.members.router import RETRY_MS
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.query.binding import Catalog, KnownSeries
from iotdb_cluster.types.identity import GroupId, Slot
from iotdb_cluster.types.paths import Pattern, split_series
from iotdb_cluster.types.schema import TimeseriesSchema
from iotdb_cluster.wire.schemas import decode_schemas

Found = dict[str, dict[GroupId, list[KnownSeries]]]


class Finder:
    """Finds series for one query and makes the groups of this node level with their leaders, once each."""

    def __init__(self, node: NodeView, running: Running) -> None:
        self._node = node
        self._running = running
        self._level: set[GroupId] = set()
        self._meta_is_level = False

    async def find(self, patterns: Iterable[str]) -> Catalog:
        """The series of each pattern: storage groups by name, in each of them in the order of creation.

        Members elsewhere that know the mirrored calls only name them by path. Raises 401 for what is no pattern.
        """
        parsed = {pattern: _parsed(pattern) for pattern in dict.fromkeys(patterns)}
        rounds = 0
        while True:
            try:
                return await self._found(parsed)
            except SlotMoving as moving:
                await self._pause(moving, rounds)
            rounds += 1

    async def _pause(self, moving: SlotMoving, rounds: int) -> None:
        """Before everything is asked again with a newer table; raises `moving` when the time is over."""
        self._running.check()
        if self._running.left_ms <= RETRY_MS:
            raise moving
        context = self._node.context
        pause_ms = growing_ms(rounds, RETRY_MS, context.settings.election_timeout_min_ms // 6)
        await pause(Deadline.after(context.clock, min(pause_ms, self._running.left_ms)))
        self._level.clear()
        self._meta_is_level = False
        await self._catch_up((), with_meta=True)

    async def _found(self, parsed: Mapping[str, Pattern]) -> Catalog:
        state = self._node.router.ready_state()
        by_group = self._groups(state, parsed.values())
        if any(_needs_meta(state, pattern) for pattern in parsed.values()):
            await self._catch_up(by_group, with_meta=True)
            # Storage groups that were made just now, in groups that were not asked to catch up yet.
            state = self._node.router.ready_state()
            by_group = self._groups(state, parsed.values())
        await self._catch_up(by_group, with_meta=False)
        found = await self._ask(state, by_group)
        missed = [pattern for path, pattern in parsed.items() if not found.get(path)]
        if missed and self._running.is_strong and not self._meta_is_level:
            # A storage group may have been made, or made anew elsewhere, since this node heard of the meta log.
            await self._catch_up((), with_meta=True)
            state = self._node.router.ready_state()
            again = self._groups(state, missed)
            await self._catch_up(again, with_meta=False)
            found |= await self._ask(state, again)
        return {path: self._ordered(found.get(path, {})) for path in parsed}

    async def level(self, groups: Iterable[GroupId]) -> None:
        """Make the members of these groups here as fresh as the query's consistency level says."""
        await self._catch_up(groups, with_meta=False)

    async def level_with_meta(self) -> MetaState:
        """The meta group's state, as fresh as the query's consistency level says."""
        await self._catch_up((), with_meta=True)
        return self._node.router.ready_state()

    # -- which groups ------------------------------------------------------------------------------------------------

    def _groups(self, state: MetaState, patterns: Iterable[Pattern]) -> dict[GroupId, list[str]]:
        """The groups that can hold a match, and for which patterns."""
        found: dict[GroupId, list[str]] = {}
        for pattern in patterns:
            groups = {owner_of(state, path) for path in storage_groups_met(state, pattern)}
            for group in sorted(groups):
                found.setdefault(group, []).append(pattern.path)
        return found

    async def _catch_up(self, groups: Iterable[GroupId], *, with_meta: bool) -> None:
        running = self._running
        waiting = []
        meta = self._node.meta
        if with_meta and running.is_strong and not self._meta_is_level and meta is not None:
            waiting.append(meta.catch_up(running.deadline))
        for group in groups:
            member = self._node.data(group)
            if member is not None and group not in self._level:
                self._level.add(group)
                waiting.append(member.catch_up(running.deadline, running.consistency))
        await together(waiting)
        self._meta_is_level |= with_meta

    # -- asking them -------------------------------------------------------------------------------------------------

    async def _ask(self, state: MetaState, by_group: dict[GroupId, list[str]]) -> Found:
        """What the groups have, each for the slots that the table of `state` gives to it."""
        found: Found = {pattern: {} for patterns in by_group.values() for pattern in patterns}
        elsewhere = {}
        for group, patterns in by_group.items():
            member = self._node.data(group)
            if member is None:
                elsewhere[group] = patterns
                continue
            slots = _slots(state, group, patterns)
            running = self._running
            await check_readable(self._node, member, slots, running.deadline, is_strong=running.is_strong)
            for pattern in patterns:
                here = only_owned(state, group, member.store.series(pattern, in_creation_order=True))
                found[pattern][group] = [KnownSeries(schema, group) for schema in here]
            check_held(member, slots)
        asked = [(group, patterns, _slots(state, group, patterns)) for group, patterns in elsewhere.items()]
        answers = await together([self._ask_elsewhere(*each) for each in asked])
        for group, answer in zip(elsewhere, answers, strict=True):
            for pattern, schemas in answer.items():
                there = only_owned(state, group, schemas)
                found[pattern][group] = [KnownSeries(schema, group) for schema in there]
        return {
            pattern: {group: series for group, series in groups.items() if series} for pattern, groups in found.items()
        }

    async def _ask_elsewhere(
        self, group: GroupId, patterns: Sequence[str], slots: Sequence[Slot]
    ) -> dict[str, Sequence[TimeseriesSchema]]:
        there = Elsewhere(self._node, group)
        running = self._running
        request = structs.FindSeriesRequest(
            header=there.header,
            patterns=patterns,
            consistency=running.consistency,
            deadline_ms=running.left_ms,
            slots=slots,
        )
        try:
            answer = await there.ask("findSeries", (request,), running)
        except RequestError as error:
            if not is_unknown_call(error):
                raise
        else:
            if answer.is_moving:
                raise SlotMoving(f"the data group of header {group} is not read for all of its slots now")
            return dict(zip(patterns, map(decode_schemas, answer.schemas), strict=True))
        found: dict[str, Sequence[TimeseriesSchema]] = {}
        for pattern in patterns:
            pull = structs.PullSchemaRequest(prefixPath=pattern, header=there.header)
            found[pattern] = decode_schemas((await there.ask("pullTimeSeriesSchema", (pull,), running)).schemaBytes)
        return found

    def _ordered(self, groups: dict[GroupId, list[KnownSeries]]) -> Sequence[KnownSeries]:
        series = [each for group in sorted(groups) for each in groups[group]]
        if len(series) < 2:
            return series
        state = self._node.router.ready_state()
        devices = {split_series(each.path)[0] for each in series}
        owners = {device: state.storage_group_of(device) or "" for device in devices}
        if len(set(owners.values())) == 1:
            return series
        return sorted(series, key=lambda each: owners[split_series(each.path)[0]])


def _parsed(pattern: str) -> Pattern:
    try:
        return Pattern.parse(pattern)
    except PathIllegal as refusal:
        raise RequestError(refusal.message, code=StatusCode.SQL_PARSE_ERROR) from refusal


def _slots(state: MetaState, group: GroupId, patterns: Iterable[str]) -> list[Slot]:
    """The slots of a group that can hold a match, sorted."""
    met = {path for pattern in patterns for path in storage_groups_met(state, Pattern.parse(pattern))}
    return sorted({slot_of(path) for path in met if owner_of(state, path) == group})


def _needs_meta(state: MetaState, pattern: Pattern) -> bool:
    """True unless the pattern lies in one storage group that is known: storage groups do not nest."""
    return pattern.has_wildcard or state.storage_group_of(pattern.path) is None
