"""Paths inside a node's folder: relative, with `/` between names, never leading out of it."""

from iotdb_cluster.errors import MalformedInput

TEMPORARY_SUFFIX = ".tmp"
"""What a file is called behind its name while it is written beside the one that it replaces."""


def checked_path(path: str) -> str:
    """`path` itself when it stays inside the folder; raises `MalformedInput` for any other."""
    names = path.split("/")
    if "\0" in path or "\\" in path or any(name in ("", ".", "..") for name in names):
        raise MalformedInput(f"the path {path!r} is not one inside the node's folder")
    return path
