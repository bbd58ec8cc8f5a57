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
    learners: tuple[NodeId, ...] = ()
    """Who is sent its entries without counting, ascending."""


@dataclass(frozen=True, slots=True)
class MoveReport:
    """Slots on their way from the group of one header to that of another, and what this node has copied of them."""

    number: int
    source: NodeId
    target: NodeId
    slots: int
    state: str
    """`copying`; `fenced` while writes wait for the rest; then `moved` or `given up`, until both groups are tidy."""
    total_bytes: int | None = None
    """What there is to copy to this node; None where it is no member of the target, or does not know yet."""
    copied_bytes: int = 0
    bytes_per_second: int = 0
    """How fast it is being copied; 0 while nothing is."""


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
    states: dict[NodeId, str] = field(default_factory=dict)
    """What each member is to the meta group: `joining`, `learner`, `voter` or `leaving`."""
    group_members: dict[NodeId, tuple[NodeId, ...]] = field(default_factory=dict)
    """The voters of each data group, as the meta log knows them."""
    change: str | None = None
    """What must be over before nodes may come or go again."""
    silent_ms: dict[NodeId, int] = field(default_factory=dict)
    """Said by the leader of the meta group only: how long ago each other member answered it last."""
    moves: tuple[MoveReport, ...] = ()
    """Those that are not over."""
    slots_to_move: int = 0
    """How many slots have yet to change their owner, those of `moves` that are not decided included."""

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
                        GroupReport(**_known(GroupReport, group) | _nodes_of(group, "members", "learners"))
                        for group in raw["groups"]
                    ),
                    "slots": _by_node(raw["slots"]),
                    "states": _by_node(raw.get("states", {})),
                    "group_members": {
                        header: tuple(members) for header, members in _by_node(raw.get("group_members", {})).items()
                    },
                    "silent_ms": _by_node(raw.get("silent_ms", {})),
                    "moves": tuple(MoveReport(**_known(MoveReport, move)) for move in raw.get("moves", ())),
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MalformedInput(f"not the report of a node: {error!r}") from error


def group_name(header: NodeId | GroupId | None) -> str:
    """How people see a group named: `meta`, or `data <header>`."""
    return "meta" if header is None else f"data {header}"


def _by_node(raw: dict[str, Any]) -> dict[NodeId, Any]:
    """JSON knows names as keys only."""
    return {NodeId(int(identifier)): value for identifier, value in raw.items()}


def _nodes_of(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: tuple(raw.get(name, ())) for name in names}


def _node(raw: dict[str, Any]) -> Node:
    return Node(**_known(Node, raw))


def _known(kind: type, raw: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(kind)}
    return {name: value for name, value in raw.items() if name in names}
