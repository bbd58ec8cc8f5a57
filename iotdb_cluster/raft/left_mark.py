"""What a node remembers of a group that it left (rule 3.12)."""

from dataclasses import dataclass

from iotdb_cluster.types.identity import EntryId, HardState


@dataclass(frozen=True, slots=True)
class LeftMark:
    """Term, vote and last entry when the replica was dropped; a replica made again votes by this position."""

    hard_state: HardState
    last: EntryId
