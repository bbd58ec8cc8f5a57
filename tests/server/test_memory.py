"""Freed memory is kept for the next message, and the C library takes the settings that say so."""

import platform

from iotdb_cluster.server.memory import keep_freed_memory


def test_the_c_library_takes_the_settings():
    assert (platform.libc_ver()[0] == "glibc") == keep_freed_memory()
