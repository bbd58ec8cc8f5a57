"""`hello`: who this node is, and whether a peer is who it should be (DESIGN 3, "first boot", "Starts")."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from iotdb_cluster.members import structs
from iotdb_cluster.members.convert import node_of, node_struct
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.partition.slots import HASH_SEED, SLOT_COUNT
from iotdb_cluster.settings import Settings
from iotdb_cluster.storage.identity import Identity
from iotdb_cluster.types.identity import Node, NodeId, Start

FORMAT_VERSION = 1
"""Of what nodes say to each other beyond the mirrored interface, and of the logs they exchange."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a peer's `hello` said about it."""

    node: Node
    cluster_id: bytes | None
    start: Start
    recent_starts: tuple[Start, ...]
    seed_list: str
    blind: bool
    settings: tuple[tuple[str, object], ...]
    format_version: int
    refusal: str | None = None
    members: tuple[Node, ...] = ()
    removed_at: int | None = None
    """Set where the answerer knows that whoever asked was removed: up to where it has applied the meta log."""
    is_old_copy: bool = False
    """Whoever asked has forgotten a start that the answerer knows."""

    @property
    def starts(self) -> tuple[Start, ...]:
        """The starts its folder remembers, the present one last."""
        return (*self.recent_starts, self.start)


class Introductions:
    """Says who this node is, and judges what peers say. May be used from any thread."""

    def __init__(
        self,
        me: Callable[[], Node],
        settings: Settings,
        seeds: Sequence[tuple[str, int, int]],
        identity: Callable[[], Identity],
        state: Callable[[], MetaState],
    ) -> None:
        self._me = me
        self._settings = settings
        self._identity = identity
        self._state = state
        self._seed_list = ",".join(":".join(map(str, seed)) for seed in sorted(seeds))
        self._compared = _compared(settings)
        self._guard = threading.Lock()
        self._last_starts: dict[NodeId, Start] = {}

    # -- what we say -------------------------------------------------------------------------------------------------

    def request(self) -> Any:
        """The first call on each connection to another node."""
        return structs.HelloRequest(**self._own())

    def answer(self, request: Any) -> tuple[Any, Introduction | None]:
        """Our answer, and who asked when it is not refused."""
        peer = introduction(request)
        state = self._state()
        refusal, removed_at = self.refusal_of(peer), None
        if peer.node.identifier in state.tombstones:
            removed_at = state.applied
            refusal = f"node {peer.node.identifier} was removed; start with an empty folder and add the node again"
        members = [node_struct(node) for node in state.nodes]
        old_copy = True if refusal is not None and refusal == self._fault_of_starts(peer) else None
        reply = structs.HelloAnswer(
            **self._own(), refusal=refusal, members_known=members, removed_at=removed_at, old_copy=old_copy
        )
        return reply, peer if refusal is None and not self._is_namesake(peer) else None

    def _own(self) -> dict[str, Any]:
        identity = self._identity()
        start = identity.start
        return {
            "cluster_id": identity.cluster_id,
            "node": node_struct(self._me()),
            "start_count": start.count,
            "start_random": start.random,
            "recent_starts": [structs.StartId(count=s.count, random=s.random) for s in identity.recent_starts],
            "seed_digest": hashlib.sha256(self._seed_list.encode()).hexdigest(),
            "seed_list": self._seed_list,
            "format_version": FORMAT_VERSION,
            "blind": identity.cluster_id is None,
            **dict(self._compared),
        }

    # -- what we believe ---------------------------------------------------------------------------------------------

    def fault_of_answer(self, expected: NodeId | None, answer: Any) -> str | None:
        """Why a connection whose `hello` was answered so must not be used, or None."""
        peer = introduction(answer)
        if peer.refusal is not None:
            return f"{peer.node} refuses this node: {peer.refusal}"
        if expected is not None and peer.node.identifier != expected:
            return f"{peer.node} answers where node {expected} was expected"
        return self.refusal_of(peer)

    def refusal_of(self, peer: Introduction) -> str | None:
        """Why this peer is not dealt with, naming both values; None when it is. Remembers its start when it is."""
        if peer.format_version != FORMAT_VERSION:
            return f"format version {peer.format_version} against {FORMAT_VERSION} here: run the same release"
        for (name, theirs), (_, ours) in zip(peer.settings, self._compared, strict=True):
            if theirs != ours:
                return f"{name} is {theirs!r} there and {ours!r} here: a cluster has one value"
        identity = self._identity()
        if peer.cluster_id is not None and identity.cluster_id is not None and peer.cluster_id != identity.cluster_id:
            return f"cluster {peer.cluster_id.hex()} against {identity.cluster_id.hex()} here: another cluster's node"
        if identity.cluster_id is None and peer.blind and peer.seed_list != self._seed_list:
            return f"seed_nodes are {peer.seed_list} there and {self._seed_list} here: make the lists equal"
        return self._fault_of_starts(peer)

    def _is_namesake(self, peer: Introduction) -> bool:
        """True for a node that has drawn the identifier of another: `addNode` will tell it so (-5)."""
        known = self._state().node(peer.node.identifier)
        return known is not None and known.meta_address != peer.node.meta_address

    def _fault_of_starts(self, peer: Introduction) -> str | None:
        state = self._state()
        identifier = peer.node.identifier
        if self._is_namesake(peer):
            return None
        with self._guard:
            # It may have introduced itself to others since it did here: what the meta log says counts as well.
            for known in (self._last_starts.get(identifier), state.start_of(identifier)):
                # A start older than all it remembers was forgotten because a later one was acknowledged: we are behind.
                if known is not None and known.count >= peer.starts[0].count and known not in peer.starts:
                    return (
                        f"node {identifier} does not remember its start number {known.count}: its folder is an old "
                        "copy; remove the node and add it again with an empty folder"
                    )
            # Strangers are as many as they like to be: what they say is not kept.
            if state.node(identifier) is not None or not state.is_founded:
                self._last_starts[identifier] = peer.start
        return None


def introduction(struct: Any) -> Introduction:
    """A `HelloRequest` or `HelloAnswer` as a value."""
    return Introduction(
        node=node_of(struct.node),
        cluster_id=struct.cluster_id,
        start=Start(struct.start_count, struct.start_random),
        recent_starts=tuple(Start(s.count, s.random) for s in struct.recent_starts),
        seed_list=struct.seed_list,
        blind=struct.blind,
        settings=tuple((name, getattr(struct, name)) for name in _COMPARED_NAMES),
        format_version=struct.format_version,
        refusal=getattr(struct, "refusal", None),
        members=tuple(node_of(node) for node in getattr(struct, "members_known", None) or ()),
        removed_at=getattr(struct, "removed_at", None),
        is_old_copy=bool(getattr(struct, "old_copy", None)),
    )


_COMPARED_NAMES = ("replica_num", "slot_count", "hash_seed", "cluster_name")


def _compared(settings: Settings) -> tuple[tuple[str, object], ...]:
    values: dict[str, object] = {
        "replica_num": settings.replica_num,
        "slot_count": SLOT_COUNT,
        "hash_seed": HASH_SEED,
        "cluster_name": settings.cluster_name,
    }
    return tuple((name, values[name]) for name in _COMPARED_NAMES)
