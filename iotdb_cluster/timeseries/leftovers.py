"""What a crash leaves in a group's folder, and how a start gets rid of it."""

from iotdb_cluster.timeseries.manifest import MANIFEST_FILE, Manifest
from iotdb_cluster.timeseries.move_content import move_of
from iotdb_cluster.timeseries.move_staging import MOVES_FOLDER, recorded_moves
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.paths import nodes_of

STAGED_FOLDER = "staged"
"""Where files of other members are put before they are installed; no storage group has this name."""


def remove_leftovers(disk: Disk, folder: str, manifest: Manifest) -> None:
    """Remove what a crash left behind: files and folders that neither the manifest nor a move that goes on names."""
    named = {file.folder_path for file in manifest.files}
    kept_folders = {group.path for group in manifest.storage_groups}
    moves = set(recorded_moves(disk, folder)) - set(manifest.ended_moves)
    for name in disk.list_folder(folder):
        if name in (MANIFEST_FILE, STAGED_FOLDER, MOVES_FOLDER):
            continue
        if nodes_of(name)[0] != "root":
            disk.remove(f"{folder}/{name}")
            continue
        inside = disk.list_folder(f"{folder}/{name}")
        kept = [file for file in inside if f"{name}/{file}" in named or move_of(file) in moves]
        if not kept and name not in kept_folders:
            disk.remove_folder(f"{folder}/{name}")
            continue
        for file in sorted(set(inside) - set(kept)):
            disk.remove(f"{folder}/{name}/{file}")
    for name in disk.list_folder(f"{folder}/{MOVES_FOLDER}"):
        if not name.isdigit() or int(name) not in moves:
            disk.remove(f"{folder}/{MOVES_FOLDER}/{name}")
