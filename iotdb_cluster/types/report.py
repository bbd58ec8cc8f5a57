"""What a node says of itself to people and tools: the JSON of the extension call `report`.

Each node reports only what it knows itself; whoever asks several nodes puts the picture together.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.identity import GroupId, LogIndex, Node, NodeId, Term


@dataclass(frozen=True, slots=True)
class GroupReport:
    """One group as its member on the reporting node sees it; `header` is None for the meta group."""

    header: NodeId | None
    role: str
    """`leader`, `follower`, `candidate` or `learner`."""
    leader: NodeId | None
    term: Term
    commit_index: LogIndex
    last_applied: LogIndex
    last_index: LogIndex
    members: tuple[NodeId, ...] = ()
    """Its voters, ascending."""


@dataclass(frozen=True, slots=True)
class Report:
    """One node's view. Invariant: `groups` holds the meta group first, then data groups by header."""

    node: Node
    client_port: int
    pid: int
    blind: bool
    """Knows no partition table yet."""
    version: str
    cluster_name: str
    cluster_id: str | None
    """Hexadecimal; None while blind."""
    table_version: LogIndex | None
    """The meta index that made the partition table; None while blind."""
    members: tuple[Node, ...] = ()
    """The nodes of the cluster, by identifier."""
    groups: tuple[GroupReport, ...] = ()
    slots: dict[NodeId, int] = field(default_factory=dict)
    """How many slots each header owns."""
    storage_groups: dict[str, NodeId] = field(default_factory=dict)
    """Every storage group and the header that owns its slot."""

    @property
    def meta(self) -> GroupReport | None:
        """The meta group, if this node is in it yet."""
        return next((group for group in self.groups if group.header is None), None)

    def to_json(self) -> str:
        """The text that `report` answers with."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The report in `text`; raises `MalformedInput`. Fields that this version does not know are ignored."""
        try:
            raw: dict[str, Any] = json.loads(text)
            return cls(
                **_known(cls, raw)
                | {
                    "node": _node(raw["node"]),
                    "members": tuple(_node(member) for member in raw["members"]),
                    "groups": tuple(
                        GroupReport(**_known(GroupReport, group) | {"members": tuple(group["members"])})
                        for group in raw["groups"]
                    ),
                    "slots": {NodeId(int(header)): count for header, count in raw["slots"].items()},
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MalformedInput(f"not the report of a node: {error!r}") from error


def group_name(header: NodeId | GroupId | None) -> str:
    """How people see a group named: `meta`, or `data <header>`."""
    return "meta" if header is None else f"data {header}"


def _node(raw: dict[str, Any]) -> Node:
    return Node(**_known(Node, raw))


def _known(kind: type, raw: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(kind)}
    return {name: value for name, value in raw.items() if name in names}
