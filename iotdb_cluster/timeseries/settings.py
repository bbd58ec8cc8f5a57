"""What a group's store may use, and when it works in the background."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Limits of one `GroupStore`; sizes in bytes, the rest are counts."""

    memtable_limit_bytes: int = 64 * MIB
    """Points in memory above which the store asks to be sealed; the node's limit over all groups is its own affair."""
    rows_per_row_group: int = 65_536
    """Rows that are read together: the more, the faster whole series and the slower short ranges."""
    compact_at_tiers: int = 4
    """So many seals of about one size, or smaller ones behind a larger, are merged into one."""
    compact_at_deletions: int = 64
    """So many deletions beside the files make a compaction that drops what they delete."""
    compacted_max_bytes: int = 256 * MIB
    """Seals are merged up to this size together; what is larger is rewritten for deletions only."""
    column_cache_bytes: int = 16 * MIB
    """Decoded columns that are kept, for reads of single values and of devices that share a row group."""
    verify_files_at_open: bool = True
    """Read every sealed file at the start and compare its checksums."""
