"""One data group's points and series: applies the group's log, answers reads, keeps itself on disk."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pyarrow as pa

from iotdb_cluster.errors import Busy, MalformedInput, StorageGroupUnknown
from iotdb_cluster.timeseries.compaction import Compacting, CompactionJob, choose, replaced
from iotdb_cluster.timeseries.content import Indexed, StorageGroup
from iotdb_cluster.timeseries.content_hash import content_hash
from iotdb_cluster.timeseries.deletions import DeletionList
from iotdb_cluster.timeseries.jobs import GroupToSeal, Job, Sealing, SealJob, Workplace
from iotdb_cluster.timeseries.leftovers import STAGED_FOLDER, remove_leftovers
from iotdb_cluster.timeseries.manifest import Manifest, load_manifest
from iotdb_cluster.timeseries.move_content import MoveContent, move_content_of
from iotdb_cluster.timeseries.move_staging import MoveStaging
from iotdb_cluster.timeseries.moving import MoveOffer, MovesHere
from iotdb_cluster.timeseries.sealed_reader import ColumnCache, load_index, verify_file
from iotdb_cluster.timeseries.series_reader import FileAccess
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.timeseries.snapshots import Installing, InstallJob, StoreSnapshot, restricted, snapshot_of
from iotdb_cluster.timeseries.store_reads import StoreReads
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.paths import is_prefix
from iotdb_cluster.types.plans import Plan

Submit = Callable[[Callable[[], None]], None]


class GroupStore(StoreReads):
    """One data group in one folder.

    One thread, the runtime's, applies, begins and finishes jobs. Any thread reads. What a job does between its
    beginning and its end may run on any one thread; one job runs at a time.

    Invariant: files and manifest on disk are the state after the log entry `covered`, and nothing else; what came later
    is in memory and comes again from the log.
    """

    def __init__(self, disk: Disk, folder: str, settings: StoreSettings, submit: Submit, manifest: Manifest) -> None:
        """An empty store; `open` is what makes one."""
        super().__init__(FileAccess(disk, folder, ColumnCache(settings.column_cache_bytes)))
        self._place = Workplace(disk, folder, settings)
        self._submit = submit
        self._manifest = manifest
        self._indexed: dict[str, Indexed] = {}
        """The files of the manifest by their paths in the folder."""
        self._applied = manifest.covered
        self._job: Job | None = None
        self._close_asked = False
        self._unneeded: set[str] = set()
        self._moves = MovesHere(disk, folder, verify=settings.verify_files_at_open)

    @classmethod
    def open(cls, disk: Disk, folder: str, settings: StoreSettings, submit: Submit) -> "GroupStore":
        """The store in a folder, empty where there is none.

        `submit` runs something small in the background: files that nobody needs any more are removed there. Raises
        `Corruption` naming file and offset when manifest or a sealed file is damaged.
        """
        # One thread a request is all the parallelism wanted here; the pools of pyarrow would only idle.
        pa.set_cpu_count(1)
        manifest = load_manifest(disk, folder) or Manifest()
        remove_leftovers(disk, folder, manifest)
        store = cls(disk, folder, settings, submit, manifest)
        store._load(manifest)
        return store

    @property
    def covered(self) -> EntryId:
        """The last log entry whose effects are in files: the log is needed from behind it only."""
        return self._manifest.covered

    @property
    def context(self) -> bytes:
        """What the owner gave to be kept with `covered`."""
        return self._manifest.context

    @property
    def applied(self) -> EntryId:
        """The last log entry that was applied, with whatever outcome."""
        return self._applied

    @property
    def memory_bytes(self) -> int:
        """About what points in memory take, those that are being sealed included."""
        return self._content.active_bytes + self._content.frozen_bytes

    @property
    def is_busy(self) -> bool:
        """True while a job is under way."""
        return self._job is not None

    def wants_seal(self, *, has_time: bool = True) -> bool:
        """True when memory is above its limit or, with `has_time`, a seal was asked for, and no job is under way."""
        full = self._content.active_bytes > self._place.settings.memtable_limit_bytes
        return self._job is None and (full or (has_time and self._close_asked))

    def apply(self, entry_id: EntryId, plan: Plan) -> None:
        """Apply a plan of the group's log; a `RequestError` is its outcome and leaves the points as they were."""
        self._applied = entry_id
        self._content.apply(plan)

    def close_file(self, entry_id: EntryId, storage_group: str) -> None:
        """Ask for a seal, since a CLOSE_FILE entry says so; raises `StorageGroupUnknown`."""
        self._applied = entry_id
        if storage_group not in self._content.groups:
            raise StorageGroupUnknown(f"{storage_group} is no storage group of this data group")
        self._close_asked = True

    def pass_over(self, entry_id: EntryId) -> None:
        """Note that an entry which concerns no points was applied."""
        self._applied = entry_id

    # -- jobs

    def begin_seal(self, covered: EntryId, context: bytes) -> SealJob:
        """Begin to write everything applied so far to files; from here on writes go to new memory tables.

        `covered` is the last entry applied, `context` what the owner wants to find beside it after a restart. Raises
        `Busy` while another job is under way.
        """
        self._check_idle()
        assert covered.index >= self._applied.index, f"{covered} is before {self._applied}, which was applied"
        content = self._content
        base = self._manifest
        clean = content.next_deletion - 1
        with content.lock:
            for group in content.groups.values():
                group.frozen, group.active, group.frozen_clean = group.active, {}, clean
            content.frozen_bytes, content.active_bytes = content.active_bytes, 0
        self._close_asked = False
        groups = tuple(
            GroupToSeal(
                path=path,
                devices={name: device.everything() for name, device in content.schema.storage_groups[path].items()},
                files=tuple(file for file, _ in content.groups[path].files),
                memory=content.groups[path].frozen,
                expired=content.groups[path].expired,
            )
            for path in sorted(content.groups)
        )
        sealing = Sealing(
            base=replace(
                base,
                covered=covered,
                context=context,
                deletions=content.deletions.all(),
                next_version=base.next_version + 1,
                next_deletion=content.next_deletion,
                next_created=content.schema.next_created,
                ended_moves=self._moves.ended,
            ),
            groups=groups,
            version=base.next_version,
            clean=clean,
        )
        owners = {path: content.groups[path] for path in sorted(content.groups)}
        job = SealJob(self._place, sealing, lambda: self._finish_seal(sealing, owners), self._end_job)
        self._job = job
        return job

    def _finish_seal(self, sealing: Sealing, owners: Mapping[str, StorageGroup]) -> None:
        assert sealing.manifest is not None
        content = self._content
        written = {path: tuple(files) for path, files in sealing.written.items()}
        with content.lock:
            for path, group in owners.items():
                group.files = (*group.files, *written[path])
                group.frozen = {}
            content.frozen_bytes = 0
            self._keep_needed_deletions(sealing.manifest)
        self._adopt(sealing.manifest, {file.folder_path: (file, i) for w in written.values() for file, i in w})
        self._submit(sealing.forget_memory)

    def begin_compaction(
        self, most_bytes: int | None = None, gives_way: Callable[[], bool] = lambda: False
    ) -> CompactionJob | None:
        """Begin to merge files or to drop deleted points, where it is worth it; None when there is nothing to do.

        Files of more than `most_bytes` together stay as they are: for a while there are both, the old ones and the new.

        The job gives way when memory grows to twice its limit meanwhile, or when asked to, and then has changed
        nothing. Raises `Busy` while another job is under way.
        """
        self._check_idle()
        content = self._content
        # Files that were moved here and that no manifest names yet are not in `base`.
        groups = {
            path: tuple(file for file, _ in group.files)
            for path, group in content.groups.items()
            if not any(self._moves.is_unnamed(file.folder_path) for file, _ in group.files)
        }
        settings = self._place.settings
        if most_bytes is not None:
            settings = replace(settings, compacted_max_bytes=min(settings.compacted_max_bytes, most_bytes))
        choice = choose(groups, self._manifest.deletions, settings, most_bytes)
        if choice is None:
            return None
        owner = content.groups[choice.storage_group]
        chosen = {file.name for file in choice.files}
        task = Compacting(self._manifest, choice, tuple(entry for entry in owner.files if entry[0].name in chosen))
        most_bytes = 2 * self._place.settings.memtable_limit_bytes
        job = CompactionJob(
            self._place,
            task,
            on_finish=lambda: self._finish_compaction(task, owner),
            on_end=self._end_job,
            should_stop=lambda: content.active_bytes > most_bytes or gives_way(),
        )
        self._job = job
        return job

    def _finish_compaction(self, task: Compacting, owner: StorageGroup) -> None:
        if task.manifest is None:
            return
        written = {file.folder_path: (file, index) for file, index in task.written}
        with self._content.lock:
            known = {file.folder_path: (file, index) for file, index in owner.files} | written
            files = replaced((file for file, _ in owner.files), task.choice.files, (file for file, _ in task.written))
            owner.files = tuple(known[file.folder_path] for file in files)
            self._keep_needed_deletions(task.manifest)
        self._adopt(task.manifest, written)

    def _keep_needed_deletions(self, manifest: Manifest) -> None:
        """Forget the deletions that the manifest needs no more; those that came since stay."""
        later = [d for d in self._content.deletions.all() if d.number >= manifest.next_deletion]
        self._content.deletions = DeletionList((*manifest.deletions, *later))

    def _adopt(self, manifest: Manifest, added: Mapping[str, Indexed]) -> None:
        """Take a durable manifest for the present one; files that only the one before named are removed."""
        before = {**self._indexed, **self._moves.named_by(manifest)}
        known = {**before, **added}
        with self._content.lock:
            self._indexed = {file.folder_path: known[file.folder_path] for file in manifest.files}
            self._manifest = manifest
        self._unneeded |= before.keys() - self._indexed.keys()
        self._remove_unneeded()
        remove = self._moves.remover(manifest, frozenset(self._indexed.keys() | self._unneeded))
        if remove is not None:
            self._submit(remove)

    def _remove_unneeded(self) -> None:
        with self._content.lock:
            while self._forgotten:
                self._content.unpin(self._forgotten.popleft())
            free = sorted(path for path in self._unneeded if not self._content.pins[path])
            self._unneeded.difference_update(free)
        if free:
            self._submit(lambda: self._remove_files(free))

    def _remove_files(self, paths: list[str]) -> None:
        for path in paths:
            self._place.disk.remove(f"{self._place.folder}/{path}")

    def _end_job(self) -> None:
        self._job = None

    def _check_idle(self) -> None:
        if self._job is not None:
            raise Busy("a seal or compaction of this group is under way")

    def _unpin(self, paths: list[str]) -> None:
        """Let go of files that a view or a snapshot could open; what nobody needs any more is removed."""
        with self._content.lock:
            self._content.unpin(paths)
            is_due = not self._unneeded.isdisjoint(paths)
        if is_due:
            self._remove_unneeded()

    # -- snapshots

    def snapshot(self, storage_groups: Iterable[str] | None = None) -> StoreSnapshot:
        """The state at `covered`, of all or some storage groups; its files stay on disk until `release`."""
        with self._content.lock:
            manifest, indexed = self._manifest, self._indexed
            if storage_groups is not None:
                manifest = restricted(manifest, set(storage_groups))
            self._content.pins.update(file.folder_path for file in manifest.files)
        return snapshot_of(manifest, self._place.folder, indexed)

    def hold(self, snapshot: StoreSnapshot) -> None:
        """Keep the files of a snapshot once more; each time needs a `release` of its own."""
        with self._content.lock:
            self._content.pins.update(file.folder_path for file in snapshot.files)

    def release(self, snapshot: StoreSnapshot) -> None:
        """Let go of the files of a snapshot."""
        self._unpin([file.folder_path for file in snapshot.files])

    def stage_folder(self, name: str) -> str:
        """The folder in which the files of a snapshot are put together, for instance over several starts."""
        return f"{self._place.folder}/{STAGED_FOLDER}/{name}"

    def staged(self) -> list[str]:
        """The names of the stage folders that hold something, also of those from earlier starts."""
        return self._place.disk.list_folder(f"{self._place.folder}/{STAGED_FOLDER}")

    def discard_staged(self, name: str) -> None:
        """Remove a stage folder with everything in it."""
        self._place.disk.remove_folder(self.stage_folder(name))

    def begin_install(self, received: Manifest, staged: Mapping[str, str]) -> InstallJob:
        """Begin to replace everything here by a snapshot; `staged` says by `folder_path` where its files are.

        Until the job is finished the store is as it was, and nothing may be applied. A file that is not what the
        snapshot says raises `MalformedInput` from `run` and `finish` and leaves the store as it was.
        """
        self._check_idle()
        next_file = max(self._manifest.next_file, received.next_file)
        task = Installing(received, dict(staged), next_file, self._moves.ended)
        job = InstallJob(self._place, task, lambda: self._finish_install(task), self._end_job)
        self._job = job
        return job

    def install(self, snapshot: StoreSnapshot | Manifest, staged: Mapping[str, str]) -> None:
        """`begin_install`, `run` and `finish` in one, for who has the time."""
        job = self.begin_install(snapshot.manifest if isinstance(snapshot, StoreSnapshot) else snapshot, staged)
        try:
            job.run()
        finally:
            job.finish()

    def _finish_install(self, task: Installing) -> None:
        assert task.manifest is not None and task.indexed is not None
        self._content.restore(task.manifest, task.indexed)
        self._close_asked = False
        self._applied = task.manifest.covered
        self._adopt(task.manifest, task.indexed)

    # -- moves

    def offer_move(self, storage_groups: Iterable[str], *, hashed: bool = False) -> MoveOffer:
        """The storage groups as they were at `covered`, and their files, kept until `release(offer.snapshot)`.

        Before the fence it may be out of date by the time it arrives. Behind it, and once `covered` has reached it, it
        is the whole truth; files that did not change keep their MD5, and whoever has them does not pull them again.
        With `hashed` every point is read for the content hash, which means something only behind the fence.
        """
        snapshot = self.snapshot(storage_groups)
        content = move_content_of(snapshot.manifest, snapshot.storage_groups)
        if hashed:
            content = replace(content, content_hash=self.content_hash(content.paths))
        return MoveOffer(content, snapshot)

    def staging(self, move: int) -> MoveStaging:
        """Where the files of a move are pulled to; what is there already, also from earlier starts."""
        return self._moves.staging(move)

    def staged_moves(self) -> list[int]:
        """The moves of which files are kept here, those from earlier starts included."""
        return self._moves.staged()

    def prepare_move(self, move: int, content: MoveContent) -> None:
        """Look at the files of a move, all complete, so that its install takes a moment. For any thread.

        Raises `MalformedInput` for a content that reaches beyond its storage groups, or differs from its hash, and
        `Corruption` for a file that is no sealed file or was damaged since it came.
        """
        self._moves.prepare(move, content)
        if content.content_hash and self.staged_hash(move, content) != content.content_hash:
            raise MalformedInput(f"move {move}: what was pulled is not what the source held, though every file is")

    def staged_hash(self, move: int, content: MoveContent) -> str:
        """The `content_hash` of a move's files where they lie, before they are installed. Reads everything."""
        scratch = GroupStore(self._place.disk, self._place.folder, self._place.settings, self._submit, Manifest())
        scratch._content.install(*self._moves.arranged(move, content, scratch._content))
        return scratch.content_hash()

    def install_move(self, entry_id: EntryId, move: int, content: MoveContent) -> None:
        """Make a move's storage groups part of this store, since its install entry says so.

        One that is here already stays as it is. The files count as covered up to this entry: they are in no manifest
        before one covers it, and a replay finds them again. Raises `Corruption` when one of them is not here.
        """
        self._applied = entry_id
        new = tuple(group for group in content.storage_groups if group.path not in self._content.groups)
        paths = {group.path for group in new}
        deletions = tuple(d for d in content.deletions if any(is_prefix(path, d.path) for path in paths))
        content = replace(content, storage_groups=new, deletions=deletions)
        arrangement, files = self._moves.arranged(move, content, self._content)
        self._content.install(arrangement, files)
        self._moves.installed(move, files, entry_id.index)

    def release_storage_groups(self, entry_id: EntryId, storage_groups: Iterable[str]) -> None:
        """Delete storage groups that were moved away, or whose install was in vain; those not here are ignored.

        Readers that are open go on. The files go behind the next seal, which is asked for.
        """
        self._applied = entry_id
        for path in storage_groups:
            if path in self._content.groups:
                self._content.drop(path)
                self._close_asked = True

    def end_move(self, entry_id: EntryId, move: int) -> None:
        """Let go of what was pulled for a move and is not part of the store: it is over, whatever became of it.

        The files go behind the next seal, which is asked for: before it, a replay may need them.
        """
        self._applied = max(self._applied, entry_id)
        if move not in self._moves.ended:
            self._moves.end(move)
            self._close_asked = True

    def drop(self) -> None:
        """Remove the folder with everything in it; the store must not be used any more."""
        self._place.disk.remove_folder(self._place.folder)

    # -- what tests and moves compare

    def content_hash(self, storage_groups: Iterable[str] | None = None) -> str:
        """A hash over series and points, deletions carried out; equal for members that applied the same log."""
        return content_hash(self, self.storage_groups() if storage_groups is None else sorted(storage_groups))

    def _load(self, manifest: Manifest) -> None:
        """Make the content of a manifest the present one; every file is verified first."""
        disk, folder = self._place.disk, self._place.folder
        indexed: dict[str, Indexed] = {}
        for file in manifest.files:
            if self._place.settings.verify_files_at_open:
                verify_file(disk, folder, file)
            indexed[file.folder_path] = (file, load_index(disk, folder, file))
        self._content.restore(manifest, indexed)
        self._indexed = indexed
