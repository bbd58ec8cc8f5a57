"""A leadership on its way to another member (thesis 3.10)."""

from dataclasses import dataclass

from iotdb_cluster.raft.messages import TimeoutNow
from iotdb_cluster.types.identity import NodeId


@dataclass(slots=True)
class Handover:
    """`target` is caught up, then told to campaign; meanwhile nothing new is taken into the log.

    `leaves`: this leader is no voter of the committed membership any more, so it ends with the hand-over, done or not
    (rule 4.6).
    """

    target: NodeId | None
    deadline_ms: int
    leaves: bool = False
    sent: TimeoutNow | None = None
