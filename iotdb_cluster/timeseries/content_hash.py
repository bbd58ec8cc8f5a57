"""One number for what a store holds, so that members and moves can be compared."""

import hashlib
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from iotdb_cluster.timeseries.series_reader import SeriesReader
from iotdb_cluster.types.schema import TimeseriesSchema

_READ_TOGETHER = 100_000


class Content(Protocol):
    """What is hashed: the series of storage groups, and how far their points have expired."""

    def expired_until(self, storage_group: str) -> int | None: ...

    def series(self, pattern: str) -> Iterable[TimeseriesSchema]: ...

    def open_series(self, path: str) -> SeriesReader: ...


def content_hash(store: Content, storage_groups: Iterable[str]) -> str:
    """A hash over series and points, deletions carried out: the same however the points are spread over files."""
    total = hashlib.sha256()
    for group in storage_groups:
        total.update(f"group {group} {store.expired_until(group)}\n".encode())
        for schema in store.series(group):
            total.update(_described(schema) + _points_digest(store.open_series(schema.path)))
    return total.hexdigest()


def _described(schema: TimeseriesSchema) -> bytes:
    kinds = (int(schema.data_type), int(schema.encoding), int(schema.compression))
    return f"series {schema.path} {kinds} {schema.props}\n".encode()


def _points_digest(reader: SeriesReader) -> bytes:
    # Times and values apart, so that the borders of batches do not matter.
    all_times, all_values = hashlib.sha256(), hashlib.sha256()
    while True:
        times, values = reader.next_batch(_READ_TOGETHER)
        if not len(times):
            return all_times.digest() + all_values.digest()
        all_times.update(np.ascontiguousarray(times).data)
        if values.dtype == object:
            all_values.update(b"".join(len(value).to_bytes(4, "big") + value for value in values))
        else:
            all_values.update(np.ascontiguousarray(values).view(np.uint8).data)
