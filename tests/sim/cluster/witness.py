"""The committed logs as witnesses: their order respects real time, and they say what there is to read at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from struct import unpack

from iotdb_cluster.errors import RequestError
from iotdb_cluster.members.moves.codec import GroupDeed, read_deed
from iotdb_cluster.partition.moves import Deed, GroupSlots
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import META_GROUP, GroupId, NodeId
from iotdb_cluster.types.paths import Pattern
from iotdb_cluster.types.plans import DeletePlan, InsertPlan, Plan, TabletPlan
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.plans import decode_plan
from tests.sim.cluster.clients import Space
from tests.sim.cluster.oracle import Attempt, Fate, Key, Oracle
from tests.sim.cluster.watch import GroupWatch


def written_cells(plan: Plan, space: Space) -> Iterator[tuple[Key, object]]:
    """The cells that an insert or a tablet writes, in the order in which they count, as values are read back."""
    types = dict(space.series)
    if isinstance(plan, InsertPlan):
        for name, text in zip(plan.measurements, plan.values, strict=True):
            series = f"{plan.device}.{name}"
            if series in types and text is not None:
                yield (series, plan.time), _parsed(text)
    elif isinstance(plan, TabletPlan):
        times = [int.from_bytes(plan.times[8 * row : 8 * row + 8], "big", signed=True) for row in range(plan.rows)]
        for name, data_type, column in zip(plan.measurements, plan.data_types, plan.columns, strict=True):
            series = f"{plan.device}.{name}"
            for time, value in zip(times, unpacked(data_type, column), strict=True):
                yield (series, time), value


def _parsed(text: str) -> object:
    if text[0] == "'":
        return text[1:-1].encode()
    return float(text) if "." in text else int(text)


def unpacked(data_type: DataType, column: bytes) -> list[object]:
    """The values of a column that a client has packed."""
    if data_type is not DataType.TEXT:
        return list(unpack(f">{len(column) // 8}{'d' if data_type is DataType.DOUBLE else 'q'}", column))
    values: list[object] = []
    offset = 0
    while offset < len(column):
        length = int.from_bytes(column[offset : offset + 4], "big")
        values.append(column[offset + 4 : offset + 4 + length])
        offset += 4 + length
    return values


@dataclass(slots=True)
class Witness:
    """What all committed logs together say."""

    space: Space
    oracle: Oracle
    founding: PartitionTable
    """Which group held which slots at first; where they went from there, the logs say."""
    slots: dict[GroupId, GroupSlots] = field(default_factory=dict)
    content: dict[Key, object] = field(default_factory=dict)
    """What is there to read behind the last committed entry."""
    places: dict[int, list[tuple[GroupId, int]]] = field(default_factory=dict)
    """For each attempt that wrote: where it stands."""
    faults: list[str] = field(default_factory=list)

    def hear(self, groups: Mapping[GroupId, GroupWatch]) -> None:
        """Take in all logs."""
        logs = {group: iter(groups[group].entries()) for group in sorted(groups) if group != META_GROUP}
        for group in logs:
            known = group in self.founding.identifiers
            self.slots[group] = GroupSlots.founded(self.founding.slots_of(NodeId(group)) if known else ())
        waiting: dict[GroupId, tuple[Entry, int]] = {}
        fenced: set[int] = set()
        while logs:
            free = [group for group in logs if group not in waiting or waiting[group][1] in fenced]
            if not free:
                self.faults.append(f"21: moves {[move for _, move in waiting.values()]} are installed without a fence")
                break
            for group in free:
                if self._hear_until_install(group, logs[group], waiting, fenced):
                    del logs[group]
        self._check_attempts()
        for group in sorted(groups):
            self._check_order(group)

    def _hear_until_install(
        self, group: GroupId, log: Iterator[Entry], waiting: dict[GroupId, tuple[Entry, int]], fenced: set[int]
    ) -> bool:
        """Take in a log up to an install whose fence was not heard yet; True at its end."""
        held = waiting.pop(group, None)
        if held is not None:
            self._step(group, read_deed(held[0].body))
        for entry in log:
            if entry.kind != EntryKind.MOVE_STEP:
                self._take(group, entry)
                continue
            deed = read_deed(entry.body)
            if deed.deed is Deed.INSTALL and deed.move not in fenced:
                waiting[group] = (entry, deed.move)
                return False
            if deed.deed is Deed.FENCE:
                fenced.add(deed.move)
            self._step(group, deed)
        return True

    def _step(self, group: GroupId, deed: GroupDeed) -> None:
        self.slots[group], _ = self.slots[group].after(deed.deed, deed.move, deed.slots)
        for slot in deed.slots:
            serving = [each for each, slots in self.slots.items() if slots.state_of(slot).is_serving]
            if len(serving) > 1:
                self.faults.append(f"21: slot {slot} is served by groups {serving} behind {deed.deed} of {deed.move}")
                break

    def _serves(self, group: GroupId, series: str) -> bool:
        return self.slots[group].state_of(slot_of(self.space.storage_group_of(series))).is_serving

    def _take(self, group: GroupId, entry: Entry) -> None:
        if entry.kind != EntryKind.PHYSICAL_PLAN:
            return
        try:
            plan = decode_plan(entry.body)
        except RequestError as error:
            self.faults.append(f"entry {entry.id} of group {group} is no plan: {error}")
            return
        if isinstance(plan, DeletePlan):
            pattern = Pattern.parse(plan.path)
            gone = [key for key in self.content if key[1] <= plan.time and pattern.matches(key[0])]
            for series, time in gone:
                if self._serves(group, series):
                    del self.content[series, time]
            return
        attempts: set[int] = set()
        # Of two rows of a tablet with the same time the last one counts.
        for key, value in dict(written_cells(plan, self.space)).items():
            if not self._serves(group, key[0]):
                continue
            self.content[key] = value
            attempt = self.oracle.by_value.get(value)
            if attempt is None:
                self.faults.append(f"26: {value!r} stands in the log of group {group}, and nobody wrote it")
            else:
                attempts.add(attempt.number)
        for number in sorted(attempts):
            self.places.setdefault(number, []).append((group, entry.index))

    def _check_attempts(self) -> None:
        """Invariants 25 to 27: acknowledged stands in a log once, refused never."""
        for attempt in self.oracle.attempts:
            if not any(value is not None for value in attempt.writes.values()):
                continue
            places = self.places.get(attempt.number, [])
            if attempt.fate is Fate.ACKED and not places:
                self.faults.append(f"25: {attempt} stands in no log")
            if attempt.fate is Fate.REFUSED and places:
                self.faults.append(f"26: {attempt} stands in the log at {places}")
            if len(places) > 1:
                self.faults.append(f"27: {attempt} stands in the log at {places}")

    def _check_order(self, group: GroupId) -> None:
        """What was acknowledged before another attempt began stands before it."""
        by_index: list[tuple[int, Attempt]] = []
        for attempt in self.oracle.attempts:
            by_index += [(index, attempt) for where, index in self.places.get(attempt.number, []) if where == group]
        latest: Attempt | None = None
        for _, attempt in sorted(by_index, key=lambda pair: pair[0]):
            if latest is not None and attempt.fate is Fate.ACKED and (attempt.ended_us or 0) < latest.began_us:
                self.faults.append(f"28: {latest} stands before {attempt} in group {group}, but began after its end")
            if latest is None or attempt.began_us > latest.began_us:
                latest = attempt
