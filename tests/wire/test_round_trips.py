"""What is written is read back as it was, for every payload and every method in both protocols."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.wire import batches, entries, filters, nodes, plans, scalars, schemas, snapshots, tables
from iotdb_cluster.wire.codec import Call, Codec
from iotdb_cluster.wire.header import Protocol
from iotdb_cluster.wire.idl import SERVICES
from tests.wire import strategies

PAYLOADS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "node": (strategies.nodes, nodes.encode_node, nodes.decode_node),
    "plan": (strategies.plans, plans.encode_plan, plans.decode_plan),
    "close file": (strategies.close_files, entries.encode_close_file, entries.decode_close_file),
    "scalar": (strategies.scalars, scalars.encode_scalar, scalars.decode_scalar),
    "filter": (strategies.filters, filters.encode_filter, filters.decode_filter),
    "schema": (strategies.schemas, schemas.encode_schema, schemas.decode_schema),
    "remote file": (strategies.remote_files, snapshots.encode_remote_file, snapshots.decode_remote_file),
    "file snapshot": (strategies.file_snapshots, snapshots.encode_file_snapshot, snapshots.decode_file_snapshot),
    "data snapshot": (strategies.data_snapshots, snapshots.encode_data_snapshot, snapshots.decode_data_snapshot),
    "meta snapshot": (strategies.meta_snapshots, snapshots.encode_meta_snapshot, snapshots.decode_meta_snapshot),
    "table": (strategies.tables(), tables.encode_table, tables.decode_table),
}
SERVED = ("TSIService", "MetaExtension", "DataExtension")
METHODS = {method: service for service in SERVED for method in SERVICES[service].methods}
CODEC = Codec()


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_is_read_back_as_it_was(name: str) -> None:
    values, encode, decode = PAYLOADS[name]

    @settings(max_examples=40, deadline=None)
    @given(values)
    def read_back(value: Any) -> None:
        assert value == decode(encode(value))

    read_back()


@settings(max_examples=40, deadline=None)
@given(strategies.entries, strategies.identities)
def test_an_entry_is_read_back_with_the_identity_before_it(entry: Entry, before: EntryId) -> None:
    assert (before, entry) == entries.decode_entry(entries.encode_entry(entry, before))


@settings(max_examples=60, deadline=None)
@given(strategies.batches())
def test_a_batch_is_read_back_as_columns(batch: Any) -> None:
    data_type, times, values = batches.decode_batch(batches.encode_batch(*batch))
    assert batch[0] == data_type
    assert np.array_equal(batch[1], times)
    if isinstance(values, np.ndarray):
        assert batch[2].dtype == values.dtype
        assert np.array_equal(batch[2], values)
    else:
        assert batch[2] == values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("protocol", Protocol)
def test_a_call_and_its_reply_are_read_back_as_they_were(method: str, protocol: Protocol) -> None:
    service = METHODS[method]
    known = SERVICES[service].methods[method]

    @settings(max_examples=5, deadline=None)
    @given(strategies.of_struct(known.args), strategies.of_struct(known.result), strategies.i32s)
    def read_back(args: Any, result: Any, seqid: int) -> None:
        call = CODEC.decode_call(CODEC.encode_call(service, method, args, seqid=seqid, protocol=protocol), service)
        assert Call(method, args, seqid, protocol, False, service) == call
        assert result == CODEC.decode_reply(CODEC.encode_reply(call, result), service, method, seqid)

    read_back()
