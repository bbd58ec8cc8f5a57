"""Deleting by several patterns at once."""

from collections.abc import Sequence

from iotdb_cluster.errors import NoLeader, OutcomeUnknown, PathNotFound
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.router import Router
from iotdb_cluster.types import paths
from iotdb_cluster.types.plans import DeletePlan, DeleteTimeseriesPlan
from iotdb_cluster.wire.plans import encode_plan, target_of


async def delete_points(router: Router, patterns: Sequence[str], time: int, deadline: Deadline) -> None:
    """Delete what the patterns match, with times up to `time`; those that match nothing beside others are ignored.

    Raises `PathNotFound` when none matches anything.
    """
    await _each(router, [DeletePlan(time, pattern) for pattern in _checked(patterns)], deadline)


async def delete_series(router: Router, patterns: Sequence[str], deadline: Deadline) -> None:
    """Delete the series that the patterns match, with their points; as `delete_points`."""
    await _each(router, [DeleteTimeseriesPlan(pattern) for pattern in _checked(patterns)], deadline)


def _checked(patterns: Sequence[str]) -> Sequence[str]:
    for pattern in patterns:
        paths.check_pattern(pattern)
    if not patterns:
        raise PathNotFound("no path was given")
    return patterns


async def _each(router: Router, plans: Sequence[DeletePlan | DeleteTimeseriesPlan], deadline: Deadline) -> None:
    missed: list[PathNotFound] = []
    for done, plan in enumerate(plans):
        data = encode_plan(plan)
        try:
            await router.execute(target_of(data)[0], plan.path, data, deadline)
        except PathNotFound as miss:
            missed.append(miss)
        except NoLeader as refusal:
            if done > len(missed):
                # Said to be without effect, it would be repeated as a whole, over what was written since.
                raise OutcomeUnknown(f"carried out in part: {refusal.message}") from refusal
            raise
    if missed and len(missed) == len(plans):
        raise missed[0]
