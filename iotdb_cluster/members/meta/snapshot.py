"""The meta group's snapshot: the mirrored bytes, and behind them all the group knows (DESIGN 3, InstallSnapshot)."""

import struct
from dataclasses import dataclass

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.snapshots import MetaSnapshot
from iotdb_cluster.wire.snapshots import decode_meta_snapshot, encode_meta_snapshot

_POSITION = struct.Struct(">qq")


@dataclass(frozen=True, slots=True)
class MetaImage:
    """The state after `last`, where `membership` is in force."""

    last: EntryId
    membership: Membership
    state: MetaState


def encode_image(image: MetaImage) -> bytes:
    """Mirrored snapshot (no entries, the storage groups), then position, membership and state."""
    extension = (
        _POSITION.pack(image.last.term, image.last.index) + image.membership.encode() + image.state.to_snapshot()
    )
    return encode_meta_snapshot(MetaSnapshot((), tuple(sorted(image.state.storage_groups)), extension))


def decode_image(data: bytes) -> MetaImage:
    """The image in a snapshot; raises `MalformedInput`, also for one that is not from a node of this project."""
    extension = decode_meta_snapshot(data).extension
    if len(extension) < _POSITION.size:
        raise MalformedInput("a meta snapshot without position and membership can't be installed")
    term, index = _POSITION.unpack_from(extension)
    membership, offset = Membership.decode(extension, _POSITION.size)
    return MetaImage(EntryId(term, index), membership, MetaState.from_snapshot(extension[offset:]))
