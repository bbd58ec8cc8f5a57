"""A state machine that is only a position and a digest of everything applied, with a durable snapshot."""

from dataclasses import dataclass
from zlib import crc32

from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.membership import Membership


@dataclass(frozen=True, slots=True)
class Image:
    """A snapshot: where it was taken, the membership there, and the state."""

    last: EntryId
    membership: Membership | None
    digest: int


def digest_with(digest: int, entry: Entry) -> int:
    """The state after one more entry."""
    return crc32(entry.body, crc32(b"%d,%d" % (entry.term, entry.index), digest))


class Machine:
    """Applies each index once. After a restart it stands at its snapshot; what is replayed up to there is skipped."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.applied = image.last
        self.digest = image.digest

    def apply(self, entry: Entry) -> bool:
        """Apply an entry; False when it is in the state already."""
        if entry.index <= self.applied.index:
            return False
        assert entry.index == self.applied.index + 1, f"{entry.id} is applied after {self.applied}"
        self.applied = entry.id
        self.digest = digest_with(self.digest, entry)
        return True

    def take_image(self, membership: Membership | None) -> Image:
        """Make a durable snapshot of the present state."""
        self.image = Image(self.applied, membership, self.digest)
        return self.image

    def install(self, image: Image) -> None:
        """Replace the state, durably, by a snapshot from elsewhere."""
        self.image, self.applied, self.digest = image, image.last, image.digest

    def restart(self) -> None:
        """Forget what was not durable."""
        self.applied, self.digest = self.image.last, self.image.digest
