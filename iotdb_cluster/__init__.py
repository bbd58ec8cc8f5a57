"""A time-series database cluster behind the Thrift interface of Apache IoTDB's first Raft cluster module.

`iotdb_cluster.connect` and its neighbours are PEP 249; `iotdb_cluster.Session` is what that is made of. They are loaded
when they are asked for: a node, which imports this package, too, has no use for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iotdb_cluster.client.dbapi import BINARY, DATETIME, NUMBER, ROWID, STRING, Connection, Cursor, connect
    from iotdb_cluster.client.dbapi_errors import (
        DatabaseError,
        DataError,
        Error,
        IntegrityError,
        InterfaceError,
        InternalError,
        NotSupportedError,
        OperationalError,
        ProgrammingError,
        Warning,
    )
    from iotdb_cluster.client.session import Session

apilevel = "2.0"
paramstyle = "qmark"
threadsafety = 1

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Session",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("iotdb_cluster.client.dbapi"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
