"""Which slots a data group holds and serves, as its own log says; judged where entries are applied (DESIGN 5.4)."""

from collections.abc import Callable, Iterable

from iotdb_cluster.errors import SlotMoving
from iotdb_cluster.members.meta.codec import Reader, Writer
from iotdb_cluster.members.moves.codec import GroupDeed, read_group_slots, write_group_slots
from iotdb_cluster.partition.moves import GroupSlots
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import Slot
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.paths import ROOT, Pattern, nodes_of
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    Plan,
    SetStorageGroupPlan,
    TabletPlan,
)


class HeldSlots:
    """The slots of one replica. Only the runtime's thread changes them; `states` is a value that any thread may read.

    `founded` are the slots with which the group began, for a replica whose files say nothing yet.
    """

    def __init__(
        self, founded: Iterable[Slot], has_storage_group: Callable[[str], bool], storage_groups: Callable[[], list[str]]
    ) -> None:
        self._founded = GroupSlots.founded(founded)
        self.states = self._founded
        self._has_storage_group = has_storage_group
        self._storage_groups = storage_groups
        self._is_untouched = True
        self._serving: dict[str, bool] = {}
        """By device: what was found for it since the slots or the storage groups changed last."""

    # -- what stands beside the files ----------------------------------------------------------------------------------

    def context(self, membership: Membership) -> bytes:
        """The owner's bytes of a manifest: `membership | slots`."""
        writer = Writer()
        writer.raw(membership.encode())
        write_group_slots(writer, self.states)
        return writer.bytes()

    def restore(self, context: bytes) -> None:
        """Become what a manifest says; one without slots is from before any slot moved."""
        self.states = slots_in(context) or self._founded
        self._is_untouched = all(state.deed is None for state in self.states.known.values())
        self._serving.clear()

    # -- deeds ---------------------------------------------------------------------------------------------------------

    def apply(self, deed: GroupDeed) -> tuple[Slot, ...]:
        """Carry a deed out; the slots on which it had an effect."""
        self.states, changed = self.states.after(deed.deed, deed.move, deed.slots)
        self._is_untouched = self._is_untouched and not changed  # as `restore` finds it
        self._serving.clear()
        return changed

    def in_slots(self, slots: Iterable[Slot]) -> list[str]:
        """The storage groups of the store that lie in these slots."""
        wanted = set(slots)
        return [path for path in self._storage_groups() if slot_of(path) in wanted]

    @property
    def is_untouched(self) -> bool:
        """True as long as no move has concerned this group."""
        return self._is_untouched

    # -- judging -------------------------------------------------------------------------------------------------------

    def check(self, plan: Plan) -> None:
        """Raise `SlotMoving` for a plan that concerns a slot which is not served; it has no effect then."""
        match plan:
            case InsertPlan() | TabletPlan():
                if plan.device and not self._serves_device(plan.device):
                    raise self._not_served_above(plan.device)
            case SetStorageGroupPlan() | DeleteStorageGroupPlan():
                self._serving.clear()
                self.check_storage_group(plan.path)
            case ExpirePlan():
                self.check_storage_group(plan.path)
            case CreateTimeseriesPlan():
                owner = self.owner(plan.path)
                if owner is None:
                    raise self._not_served_above(plan.path)
                self.check_storage_group(owner)
            case DeletePlan() | DeleteTimeseriesPlan():
                pattern = Pattern.parse(plan.path)
                met = [path for path in self._storage_groups() if pattern.may_match_below(nodes_of(path))]
                for path in met:
                    self.check_storage_group(path)
                if not met and not self._is_untouched:
                    # There was something to delete where it was proposed: it was released meanwhile.
                    raise SlotMoving(f"no storage group of this data group holds {plan.path} any more")

    def check_storage_group(self, path: str) -> None:
        """Raise `SlotMoving` unless the slot of a storage group is served."""
        if not self.states.state_of(slot_of(path)).is_serving:
            raise not_served(path, "this data group")

    def _not_served_above(self, path: str) -> SlotMoving:
        owner = self.owner(path)
        if owner is not None:
            return not_served(owner, "this data group")
        return SlotMoving(f"no storage group of this data group is above {path}")

    def owner(self, path: str) -> str | None:
        """The storage group of the store that a path lies in."""
        end = len(path)
        while end > len(ROOT):
            if self._has_storage_group(path[:end]):
                return path[:end]
            end = path.rfind(".", 0, end)
        return None

    def _serves_device(self, device: str) -> bool:
        known = self._serving.get(device)
        if known is None:
            owner = self.owner(device)
            known = owner is not None and self.states.state_of(slot_of(owner)).is_serving
            if len(self._serving) >= _MOST_DEVICES:
                self._serving.clear()
            self._serving[device] = known
        return known


_MOST_DEVICES = 100_000


def not_served(storage_group: str, group: str) -> SlotMoving:
    """The refusal of a plan that concerns a storage group whose slot is not served by `group`."""
    return SlotMoving(f"slot {slot_of(storage_group)} of {storage_group} moves or has moved: {group} does not serve it")


def slots_in(context: bytes) -> GroupSlots | None:
    """The slots in the owner's bytes of a manifest, if they stand there; raises `MalformedInput`."""
    _, offset = Membership.decode(context)
    reader = Reader(context, offset)
    if not reader.left:
        return None
    slots = read_group_slots(reader)
    reader.end()
    return slots
