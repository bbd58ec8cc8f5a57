"""The version of this release, as it is installed, and that of the interface."""

from importlib.metadata import PackageNotFoundError, version


def _installed_version() -> str:
    try:
        return version("iotdb-cluster")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


VERSION = _installed_version()

INTERFACE_VERSION = "0.10.0-SNAPSHOT"
"""What the original called itself; clients are shown it."""
