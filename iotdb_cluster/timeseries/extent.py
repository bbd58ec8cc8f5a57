"""How much there is to read of a series, without reading it."""

from dataclasses import dataclass

from iotdb_cluster.timeseries.content import Content, SeriesView
from iotdb_cluster.timeseries.deletions import NOTHING_DELETED, deleted_until


@dataclass(frozen=True, slots=True)
class Extent:
    """`rows_in_files` counts the parts of files that reach into the times asked for, whole; deleted rows are not."""

    files: frozenset[str] = frozenset()
    rows_in_files: int = 0
    rows_in_memory: int = 0

    def with_more(self, other: "Extent") -> "Extent":
        """This one and another one together; a file that both read is one."""
        return Extent(
            self.files | other.files,
            self.rows_in_files + other.rows_in_files,
            self.rows_in_memory + other.rows_in_memory,
        )


def extent_of(view: SeriesView, first: int, last: int, content: Content) -> Extent:
    """What a reader of this series between two times, both included, would look at."""
    files: set[str] = set()
    rows = in_memory = 0
    for file, index in view.files:
        found = index.columns.get(view.measurement)
        if found is None or found[1] is not view.data_type:
            continue
        low = max(first, deleted_until(view.deletions, file.clean) + 1)
        parts = [part for part in index.parts_of(view.device) if part.max_time >= low and part.min_time <= last]
        if parts:
            files.add(file.folder_path)
            rows += sum(part.rows for part in parts)
    for memory in view.memory:
        bound = NOTHING_DELETED if memory.clean is None else deleted_until(view.deletions, memory.clean)
        for points in (content.settled(memory), memory.memory.waiting()):
            in_memory += len(points.between(max(first, bound + 1), last))
    return Extent(frozenset(files), rows, in_memory)
