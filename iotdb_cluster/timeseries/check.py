"""Looking a group's folder over without changing anything: for `iotdb-cluster check`."""

from collections.abc import Iterator

from iotdb_cluster.errors import Corruption
from iotdb_cluster.timeseries.manifest import load_manifest
from iotdb_cluster.timeseries.sealed_reader import load_index, verify_file
from iotdb_cluster.types.disk import Disk


def damage_in(disk: Disk, folder: str) -> Iterator[Corruption]:
    """Everything that is damaged in a group's folder: the manifest, or each sealed file that it names.

    Reads every file once; a folder without a manifest holds nothing and is in order.
    """
    try:
        manifest = load_manifest(disk, folder)
    except Corruption as error:
        yield error
        return
    for file in manifest.files if manifest else ():
        try:
            verify_file(disk, folder, file)
            load_index(disk, folder, file)
        except Corruption as error:
            yield error
