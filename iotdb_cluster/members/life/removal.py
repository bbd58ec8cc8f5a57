"""Whether a node may be removed now: what the meta group's leader judges before it logs REMOVE_NODE (DESIGN 4.8)."""

from iotdb_cluster.errors import RequestError
from iotdb_cluster.members.meta.codec import Reader
from iotdb_cluster.members.meta.roster_codec import read_removal, remove_node_payload
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.types.entries import Payload
from iotdb_cluster.types.identity import NodeId

Nodes = frozenset[NodeId]


class MajorityMissing(RequestError):
    """A removal that would leave a group without a majority that answers; nothing was changed."""


def judged_removal(payload: Payload, roster: Roster, live: Nodes) -> Payload:
    """The REMOVE_NODE entry to log: urgent where the node is dead and another change may wait for it.

    `live` are the nodes that answer the meta group's leader. What the log itself can judge is left to it. Raises
    `MajorityMissing`.
    """
    node, _ = read_removal(Reader(payload.body))
    known = roster.node(node.identifier)
    if known is None or roster.is_joining(node.identifier) or node.identifier in roster.leaving:
        return payload
    is_urgent = node.identifier not in live and roster.change_under_way is not None
    after = roster.after_removing(known, is_urgent=is_urgent)
    missing = missing_majority(roster, after, node.identifier, live)
    if missing is not None:
        raise MajorityMissing(f"{known} can't be removed now: {missing}")
    return remove_node_payload(known, is_urgent=is_urgent)


def missing_majority(before: Roster, after: Roster, node: NodeId, live: Nodes) -> str | None:
    """Which group of the node would lack a live majority, before or after it goes; None when none does.

    The node itself counts while it answers. A majority that answers holds everything that was committed, so it is a
    complete source for whoever takes the node's place.
    """
    voters = before.membership.voters
    affected: list[tuple[str, tuple[Nodes, ...]]] = []
    if node in voters:
        affected.append(("the meta group", (voters, voters - {node})))
    for record in before.groups:
        header = record.header.identifier
        wanted = after.wanted_members(header)
        if node in record.members and wanted is not None:
            affected.append((f"the data group of header {header}", (record.members, wanted)))
    for name, memberships in affected:
        for members in memberships:
            if 2 * len(members & live) <= len(members):
                silent = ", ".join(str(before.node(member) or member) for member in sorted(members - live))
                return f"of the {len(members)} members of {name} too many do not answer ({silent})"
    return None
