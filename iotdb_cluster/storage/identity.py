"""The file `identity`: who this folder belongs to, which cluster it is part of, and how often it was started.

It is JSON, for people to read, with a checksum; written whole and durably at every change. Programs only change it: a
byte that is not as this module writes it is damage.
"""

import json
import zlib
from dataclasses import asdict, dataclass, replace
from typing import Any

from iotdb_cluster.errors import Corruption, Fault, StartRefused
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import NodeId, Start

FORMAT_VERSION = 1
CLUSTER_ID_BYTES = 16
IDENTITY_FILE = "identity"
_WAY_OUT = "'iotdb-cluster check DIR' shows the damage, 'iotdb-cluster rejoin' brings the node back as a new one"


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where the node of this folder was reached when it was started last."""

    ip: str
    meta_port: int
    data_port: int
    client_port: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Why a folder must not be started again: its node was removed by the entry at `meta_index` of the meta log."""

    why: str
    removed_at_ms: int
    meta_index: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything the file says.

    `cluster_id` is 16 bytes, or None while the node is blind. `starts` are those since the last that the meta log
    acknowledged, that one (`acknowledged`) included, the present one last; a folder that lacks the one that a peer
    remembers is an old copy of a disk (DESIGN 3, "Starts").
    """

    identifier: NodeId
    address: LocalAddress
    cluster_id: bytes | None = None
    acknowledged: Start | None = None
    starts: tuple[Start, ...] = ()
    tombstone: Tombstone | None = None
    joins: bool = False
    """As long as it is blind it asks to be added to a cluster, and founds none."""

    @property
    def start(self) -> Start:
        """The present start."""
        if not self.starts:
            raise Fault(f"node {self.identifier} was never started")
        return self.starts[-1]

    @property
    def recent_starts(self) -> tuple[Start, ...]:
        """The starts before the present one that are still remembered, oldest first."""
        return self.starts[:-1]


def encode_identity(identity: Identity) -> bytes:
    """The bytes of the file."""
    fields = asdict(identity)
    fields["cluster_id"] = None if identity.cluster_id is None else identity.cluster_id.hex()
    content = {"format": FORMAT_VERSION, "identity": fields}
    content["checksum"] = _checksum(content)
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def decode_identity(data: bytes, path: str = IDENTITY_FILE) -> Identity:
    """The identity in the bytes of the file; raises `Corruption`, or `StartRefused` for a format of another release."""
    try:
        content = json.loads(data)
        if content.pop("checksum") != _checksum(content):
            raise Corruption(path, 0, "the checksum is wrong", _WAY_OUT)
        if content["format"] != FORMAT_VERSION:
            raise StartRefused(f"{path} has format {content['format']}, this program reads format {FORMAT_VERSION}")
        identity = _from_fields(content["identity"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        offset = error.pos if isinstance(error, json.JSONDecodeError) else 0
        raise Corruption(path, offset, f"this is not an identity: {error}", _WAY_OUT) from error
    expected = encode_identity(identity)
    if expected != data:
        pairs = enumerate(zip(expected, data, strict=False))
        offset = next((at for at, (a, b) in pairs if a != b), min(len(expected), len(data)))
        raise Corruption(path, offset, "the file is not as it was written", _WAY_OUT)
    return identity


def _checksum(content: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def _from_fields(fields: dict[str, Any]) -> Identity:
    cluster_id, acknowledged, tombstone = fields["cluster_id"], fields["acknowledged"], fields["tombstone"]
    return Identity(
        identifier=NodeId(fields["identifier"]),
        address=LocalAddress(**fields["address"]),
        cluster_id=None if cluster_id is None else bytes.fromhex(cluster_id),
        acknowledged=None if acknowledged is None else Start(**acknowledged),
        starts=tuple(Start(**start) for start in fields["starts"]),
        tombstone=None if tombstone is None else Tombstone(**tombstone),
        joins=fields["joins"] is True,
    )


class IdentityStore:
    """Reads and changes the identity of a folder; every change is durable when its method returns."""

    def __init__(self, disk: Disk, path: str = IDENTITY_FILE) -> None:
        self._disk = disk
        self._path = path
        self._current: Identity | None = None

    @property
    def current(self) -> Identity:
        """What the file says; raises `Fault` before `load` or `create`."""
        if self._current is None:
            raise Fault("the identity of this folder was not loaded")
        return self._current

    def load(self) -> Identity | None:
        """Read the file; None for a folder without one."""
        if not self._disk.exists(self._path):
            return None
        self._current = decode_identity(self._disk.read(self._path), self._path)
        return self._current

    def create(self, identifier: NodeId, address: LocalAddress, *, joins: bool = False) -> Identity:
        """A folder without identity gets one."""
        if self._disk.exists(self._path):
            raise StartRefused(f"{self._path} exists already: this folder has an identity")
        return self._write(Identity(identifier, address, joins=joins))

    def check_may_start(self) -> None:
        """Raise `StartRefused` for the folder of a removed node."""
        stone = self.current.tombstone
        if stone is not None:
            raise StartRefused(
                f"node {self.current.identifier} was removed from its cluster (meta log index {stone.meta_index}): "
                f"{stone.why}; start with an empty folder and add the node again"
            )

    def record_start(self, random: int, address: LocalAddress | None = None) -> Identity:
        """Count a start; raises `StartRefused` for the folder of a removed node."""
        self.check_may_start()
        current = self.current
        count = current.starts[-1].count + 1 if current.starts else 1
        starts = (*current.starts, Start(count, random))
        return self._write(replace(current, starts=starts, address=address or current.address))

    def acknowledge_start(self, start: Start) -> Identity:
        """The meta log knows `start`: those before it are forgotten. An old acknowledgement changes nothing.

        Raises `Fault` for a start that this folder should know and does not: it is an old copy of a disk.
        """
        current = self.current
        if start in current.starts:
            if start == current.acknowledged:
                return current
            starts = current.starts[current.starts.index(start) :]
            return self._write(replace(current, acknowledged=start, starts=starts))
        if current.starts and start.count < current.starts[0].count:
            return current
        raise Fault(
            f"the cluster knows start {start.count} of node {current.identifier}, this folder does not: "
            "it is an old copy; 'iotdb-cluster rejoin' brings the node back as a new one"
        )

    def change_identifier(self, identifier: NodeId) -> Identity:
        """Another identifier, which only a node that belongs to no cluster may take."""
        if self.current.cluster_id is not None:
            raise Fault(f"node {self.current.identifier} belongs to a cluster and was to become {identifier}")
        return self._write(replace(self.current, identifier=identifier))

    def join(self) -> Identity:
        """This folder's node is to be added to a cluster that there is already; nothing changes once it is."""
        if self.current.joins or self.current.cluster_id is not None:
            return self.current
        return self._write(replace(self.current, joins=True))

    def found(self, cluster_id: bytes) -> Identity:
        """This folder belongs to a cluster from now on, for ever."""
        current = self.current
        if len(cluster_id) != CLUSTER_ID_BYTES:
            raise Fault(f"a cluster id of {len(cluster_id)} bytes instead of {CLUSTER_ID_BYTES}")
        if current.cluster_id == cluster_id:
            return current
        if current.cluster_id is not None:
            raise Fault(f"this folder belongs to cluster {current.cluster_id.hex()}, not to {cluster_id.hex()}")
        return self._write(replace(current, cluster_id=cluster_id))

    def bury(self, tombstone: Tombstone) -> Identity:
        """The node was removed: this folder is never started again. A first tombstone stays."""
        if self.current.tombstone is not None:
            return self.current
        return self._write(replace(self.current, tombstone=tombstone))

    def _write(self, identity: Identity) -> Identity:
        self._disk.write_durably(self._path, encode_identity(identity))
        self._current = identity
        return identity
