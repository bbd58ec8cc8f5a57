"""The storage groups of a move as a value: what travels from one group's store to another's, and what it is there.

A member of the source offers its files and what belongs to them (`MoveContent`); the members of the target pull the
files, and put the storage groups beside their own when the install entry is applied. Numbers of deletions, ages of
files and the order of creation count within a store, so all of them are translated on the way in (`arranged`).
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.timeseries.deletions import Deletion, concerns
from iotdb_cluster.timeseries.manifest import Manifest, SealedFile, StorageGroupContent
from iotdb_cluster.timeseries.schema_tree import Series
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.paths import is_prefix, nodes_of


@dataclass(frozen=True, slots=True)
class MoveContent:
    """Storage groups of a source, with nothing of its others, as they were when it had applied the entry `covered`.

    Behind the fence, and with `covered` at or behind it, this is the whole truth about the storage groups. `deletions`
    concern these storage groups alone and have the source's numbers. `content_hash` is the one of
    `GroupStore.content_hash`, or empty where nobody asked for it.
    """

    covered: EntryId
    storage_groups: tuple[StorageGroupContent, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    content_hash: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The storage groups, ascending."""
        return tuple(group.path for group in self.storage_groups)

    @property
    def files(self) -> tuple[SealedFile, ...]:
        """Every file, under the name that it has at the source: `{source's folder}/{file.folder_path}`."""
        return tuple(file for group in self.storage_groups for file in group.files)

    @property
    def size_bytes(self) -> int:
        """What has to be copied in all."""
        return sum(file.size for file in self.files)

    def encode(self) -> bytes:
        """The bytes of an install entry; equal contents are equal bytes."""
        return Manifest(
            covered=self.covered,
            context=self.content_hash.encode("ascii"),
            storage_groups=self.storage_groups,
            deletions=self.deletions,
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> "MoveContent":
        """What `encode` gave; raises `MalformedInput`."""
        found = Manifest.decode(data)
        for group in found.storage_groups:
            digests = {file.md5 for file in group.files}
            if len(digests) < len(group.files):
                raise MalformedInput(f"{group.path}: two files with one MD5")
        if not found.context.isascii():
            raise MalformedInput("a content hash that is no text")
        return cls(found.covered, found.storage_groups, found.deletions, found.context.decode("ascii"))


def move_content_of(manifest: Manifest, storage_groups: Iterable[str]) -> MoveContent:
    """Some storage groups of a durable manifest, and what of its deletions concerns them."""
    wanted = set(storage_groups)
    groups = tuple(group for group in manifest.storage_groups if group.path in wanted)
    deletions = tuple(
        replace(deletion, path=narrowed(deletion.path, group.path))
        for deletion in manifest.deletions
        for group in groups
        if concerns(deletion, group.path)
    )
    return MoveContent(manifest.covered, groups, deletions)


def narrowed(pattern: str, storage_group: str) -> str:
    """The pattern that matches what `pattern` matches in a storage group, and nothing outside of it."""
    below = nodes_of(pattern)[len(nodes_of(storage_group)) :]
    return ".".join((storage_group, *below))


def staged_name(move: int, file: SealedFile) -> str:
    """The name of a moved file at the target: by what is in it, since members of one source name files differently."""
    return f"{move_prefix(move)}{file.md5.hex()}.parquet"


def move_prefix(move: int) -> str:
    """What the names of a move's files begin with."""
    return f"move-{move}-"


def move_of(name: str) -> int | None:
    """The move that a file came with, finished or not; None for one that this group sealed."""
    word, _, rest = name.partition("-")
    number = rest.partition("-")[0]
    return int(number) if word == "move" and number.isascii() and number.isdigit() else None


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A move's content in the numbers of its target; the series stand in the order of their creation."""

    storage_groups: tuple[StorageGroupContent, ...]
    deletions: tuple[Deletion, ...]


def arranged(content: MoveContent, move: int, next_deletion: int, next_created: int) -> Arrangement:
    """What a content is in a store whose next deletion and next series get these numbers.

    A deletion counts for the same files as at the source. Files get the versions up to 0: they are older than all that
    the target seals itself.
    """
    deletions = sorted(content.deletions, key=lambda deletion: (deletion.number, deletion.path))
    numbers = [deletion.number for deletion in deletions]
    versions = sorted({file.version for file in content.files})
    ages = {version: place - len(versions) + 1 for place, version in enumerate(versions)}
    created = sorted(series.created for group in content.storage_groups for series in group.series)
    places = {number: next_created + place for place, number in enumerate(created)}

    def file_here(file: SealedFile) -> SealedFile:
        carried_out = bisect_right(numbers, file.clean)
        return replace(
            file,
            name=staged_name(move, file),
            version=ages[file.version],
            clean=next_deletion - 1 + carried_out,
        )

    groups: list[StorageGroupContent] = []
    for group in content.storage_groups:
        series = tuple(Series(one.schema, places[one.created]) for one in group.series)
        files = sorted(map(file_here, group.files), key=lambda file: (file.version, file.name))
        groups.append(replace(group, series=series, files=tuple(files)))
    renumbered = tuple(replace(deletion, number=next_deletion + place) for place, deletion in enumerate(deletions))
    return Arrangement(tuple(groups), renumbered)


def check_narrow(content: MoveContent) -> None:
    """Raise `MalformedInput` for a content whose deletions reach beyond its storage groups."""
    for deletion in content.deletions:
        if not any(is_prefix(path, deletion.path) for path in content.paths):
            raise MalformedInput(f"a deletion of {deletion.path} in a move of {', '.join(content.paths)}")
