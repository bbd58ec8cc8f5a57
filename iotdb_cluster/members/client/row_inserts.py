"""Rows of any devices, inserted together: those of one data group travel as one batch, in their order."""

from collections.abc import Sequence

from iotdb_cluster.errors import MalformedInput, RequestError, SlotMoving, StorageGroupUnknown
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.router import Router
from iotdb_cluster.members.waiting import Outcome
from iotdb_cluster.types import paths
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.types.plans import InsertPlan
from iotdb_cluster.wire.plans import encode_plan, target_of


def row_plan(device: str, time: int, measurements: Sequence[str], values: Sequence[str]) -> InsertPlan:
    """The plan of one row; raises `RequestError` for what can be no row."""
    paths.check_device(device)
    if len(measurements) != len(values):
        raise MalformedInput(f"{len(measurements)} measurements and {len(values)} values")
    if not measurements:
        raise MalformedInput("a row without values")
    return InsertPlan(time, device, tuple(measurements), tuple(values))


async def insert_rows(router: Router, rows: Sequence[InsertPlan | RequestError], deadline: Deadline) -> list[Outcome]:
    """An outcome for each row; all are tried. What can be no row comes as its refusal.

    The rows of a device take effect in their order, also while its slot moves to another group: all are brought to one
    group, which takes all of them or none, and those that it did not take follow one by one.
    """
    outcomes: list[Outcome] = [None] * len(rows)
    by_group: dict[GroupId, list[tuple[int, bytes]]] = {}
    groups: dict[str, GroupId] = {}
    for position, row in enumerate(rows):
        if isinstance(row, RequestError):
            outcomes[position] = row
            continue
        try:
            plan = encode_plan(row)
            device = str(row.device)
            group = groups.get(device)
            if group is None:
                group = groups[device] = await router.group_of_path(device, deadline, made_for=plan)
            by_group.setdefault(group, []).append((position, plan))
        except RequestError as refusal:
            outcomes[position] = refusal
    for group in sorted(by_group):
        batch = by_group[group]
        try:
            done = await router.execute_in(group, [plan for _, plan in batch], deadline)
        except RequestError as failure:
            done = [failure] * len(batch)
        for (position, plan), outcome in zip(batch, done, strict=True):
            outcomes[position] = outcome
            if isinstance(outcome, SlotMoving | StorageGroupUnknown):
                outcomes[position] = await _by_itself(router, plan, deadline)
    return outcomes


async def _by_itself(router: Router, plan: bytes, deadline: Deadline) -> Outcome:
    """The outcome of a row that had no effect, since its slot moved or its storage group was deleted: it follows."""
    try:
        kind, device = target_of(plan)
        await router.execute(kind, device, plan, deadline)
    except RequestError as failure:
        return failure
    return None
