"""Leadership goes back to the header of a group, so that load stays spread after a fail-over (DESIGN 4.6)."""

from dataclasses import dataclass

from iotdb_cluster.raft.core import Raft
from iotdb_cluster.types.identity import GroupId, NodeId, Term

CLOSE_BYTES = 256 * 1024
"""A header that lacks no more of the log than this is level within a moment; nothing is taken in meanwhile."""


def can_lead(raft: Raft, header: NodeId) -> bool:
    """True when the leader `raft` could hand its group over to `header` within a moment; not while members change."""
    if not raft.has_committed_own_term or raft.is_handing_over or raft.me == header:
        return False
    membership = raft.membership
    if membership is None or membership != raft.committed_membership or membership.is_joint:
        return False
    progress = raft.progress.get(header)
    if progress is None or header not in membership.voters or progress.has_regressed or progress.match_index == 0:
        return False
    return raft.log.bytes_behind(progress.match_index) <= CLOSE_BYTES


@dataclass(slots=True)
class _Tenure:
    """A leadership of this node, and since when its group's header answers without a break."""

    term: Term
    steady_since_ms: int


class Balance:
    """Which of the data groups that this node leads should go back to their headers.

    A header must have answered for `settle_ms` without a silence of `contact_ms`: one that has just come back has other
    things to do, and one that gave its groups away in order to stop does not get them back. A hand-over that came to
    nothing is tried again after as long.
    """

    def __init__(self, settle_ms: int, contact_ms: int) -> None:
        self._settle_ms = settle_ms
        self._contact_ms = contact_ms
        self._tenures: dict[GroupId, _Tenure] = {}

    def successor(self, group: GroupId, raft: Raft, now_ms: int) -> NodeId | None:
        """To whom the group should be handed now, if to anybody; to be asked at least once in `contact_ms`."""
        header = NodeId(group)
        if not raft.is_leader or raft.me == header:
            self._tenures.pop(group, None)
            return None
        tenure = self._tenures.get(group)
        progress = raft.progress.get(header)
        is_silent = progress is None or progress.last_contact_ms <= now_ms - self._contact_ms
        if tenure is None or tenure.term != raft.term or is_silent:
            self._tenures[group] = _Tenure(raft.term, now_ms)
            return None
        if now_ms - tenure.steady_since_ms < self._settle_ms or not can_lead(raft, header):
            return None
        tenure.steady_since_ms = now_ms
        return header
