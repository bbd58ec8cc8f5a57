"""Messages of the strict binary protocol put together by hand, to be wrong in one place at a time."""

import struct

BOOL, BYTE, DOUBLE, I16, I32, I64, STRING, STRUCT, MAP, SET, LIST = 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15
STOP = b"\0"
CALL, REPLY, EXCEPTION, ONEWAY = 1, 2, 3, 4


def i16(number: int) -> bytes:
    return struct.pack(">h", number)


def i32(number: int) -> bytes:
    return struct.pack(">i", number)


def i64(number: int) -> bytes:
    return struct.pack(">q", number)


def string(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return i32(len(data)) + data


def field(kind: int, number: int, value: bytes) -> bytes:
    return bytes((kind,)) + i16(number) + value


def message(method: str, *fields: bytes, kind: int = CALL, seqid: int = 7, version: bytes = b"\x80\x01\x00") -> bytes:
    return version + bytes((kind,)) + string(method) + i32(seqid) + b"".join(fields) + STOP


def node(ip: str = "127.0.0.1", meta_port: int = 9003, identifier: int = 1, data_port: int = 40010) -> bytes:
    return b"".join(node_fields(ip, meta_port, identifier, data_port)) + STOP


def node_fields(ip: str, meta_port: int, identifier: int, data_port: int) -> list[bytes]:
    return [
        field(STRING, 1, string(ip)),
        field(I32, 2, i32(meta_port)),
        field(I32, 3, i32(identifier)),
        field(I32, 4, i32(data_port)),
    ]


def insert_fields() -> list[bytes]:
    """The fields of a TSInsertReq."""
    return [
        field(I64, 1, i64(5)),
        field(STRING, 2, string("root.a.d")),
        field(LIST, 3, bytes((STRING,)) + i32(1) + string("s")),
        field(LIST, 4, bytes((STRING,)) + i32(1) + string("1")),
        field(I64, 5, i64(100)),
    ]


def insert(*fields: bytes) -> bytes:
    """A call of `insert` whose request has these fields."""
    return message("insert", field(STRUCT, 1, b"".join(fields) + STOP))
