"""What a query answers: columns with their types, and rows that come page by page."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from iotdb_cluster.client.connection import Ahead, ThriftClient
from iotdb_cluster.client.pages import Column, Page, decode_rows, decode_series, joined, side_by_side
from iotdb_cluster.client.statuses import check, had_no_effect, typed
from iotdb_cluster.errors import (
    ClusterError,
    CommandRefused,
    MalformedInput,
    OutcomeUnknown,
    RemoteError,
    RequestError,
    Unreachable,
)
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.idl import STRUCTS

if TYPE_CHECKING:
    from pandas import DataFrame

TIME = "Time"
"""What the column of times is called, as JDBC calls it."""

ARROW_TYPES: dict[DataType, pa.DataType] = {
    DataType.BOOLEAN: pa.bool_(),
    DataType.INT32: pa.int32(),
    DataType.INT64: pa.int64(),
    DataType.FLOAT: pa.float32(),
    DataType.DOUBLE: pa.float64(),
    DataType.TEXT: pa.string(),
}
ARROW_TIME = pa.timestamp("ms", "UTC")

_Fetch = STRUCTS["TSFetchResultsReq"].make
_Close = STRUCTS["TSCloseOperationReq"].make


@dataclass(frozen=True, slots=True)
class Opened:
    """A query that a node has open, and the answer that it began with; with `is_all` that was all, and it is over."""

    client: ThriftClient
    session_id: int
    answer: Any
    timeout_ms: int
    is_all: bool = False


class Result:
    """The rows of one query; read once, from the first to the last. A context manager, for one thread at a time.

    `columns` are the labels without the time, `types` are parallel; the same label may be there twice. Times are
    milliseconds since 1970 UTC, and mean nothing where `has_time` is False. Iteration gives rows: tuples of a value for
    each column, None where there is none, with the time in front where there is one. In a result that is not aligned
    (DISABLE ALIGN) each series pages by itself, so everything is fetched before the first row comes.

    A node that is lost before anything was handed out is replaced by the next one, which is asked from the start;
    later `OutcomeUnknown` or `Unreachable` is raised: the rows so far are right, but they are not all.
    """

    def __init__(self, statement: str, fetch_size: int, ask: Callable[[], Opened]) -> None:
        self.statement = statement
        self._fetch_size = fetch_size
        self._ask = ask
        self.on_rows: Callable[[int], None] | None = None
        """Hears with each page how many rows there were so far, where pages are taken one by one."""
        self._asked_again = False
        self._is_over = False
        self._pages: Iterator[Page] | None = None
        self._begin(ask())

    def _begin(self, opened: Opened) -> None:
        answer = opened.answer
        self._opened = opened
        self.columns: tuple[str, ...] = tuple(answer.columns)
        self.types: tuple[DataType, ...] = tuple(DataType[name] for name in answer.dataTypeList)
        if len(self.types) != len(self.columns):
            raise MalformedInput(f"{len(self.columns)} columns and {len(self.types)} types")
        self.has_time: bool = not answer.ignoreTimeStamp
        self.operation: str = answer.operationType or ""
        distinct = dict(zip(self.columns, self.types, strict=True))
        place_of = {label: place for place, label in enumerate(distinct)}
        self._distinct = tuple(distinct.values())
        self._places = [place_of[label] for label in self.columns]
        self._is_aligned = answer.nonAlignQueryDataSet is None

    # -- reading -------------------------------------------------------------------------------------------------------

    def pages(self) -> Iterator[Page]:
        """The rows as they come, never an empty page; for each page one call ahead is under way."""
        if self._pages is None:
            self._pages = self._counted(self._all_pages())
        return self._pages

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for page in self.pages():
            columns = [column.to_list() for column in page.columns]
            if self.has_time:
                columns.insert(0, page.times.tolist())
            yield from zip(*columns, strict=True)

    def read(self) -> Page:
        """All rows that are left; the query runs again elsewhere when its node is lost and none was handed out."""
        if self._pages is not None:
            return joined(list(self._pages), self.types)
        while True:
            try:
                pages = list(self._all_pages())
            except RequestError as error:
                self.close()
                if self._asked_again or not _may_ask_again(error):
                    raise
                self._asked_again = True
                self._is_over = False
                self._begin(self._ask())
            else:
                self._pages = iter(())
                return joined(pages, self.types)

    @property
    def schema(self) -> pa.Schema:
        """The columns as Arrow names them; times, where there are some, are timestamps in UTC in a column `Time`."""
        fields = [pa.field(label, ARROW_TYPES[kind]) for label, kind in zip(self.columns, self.types, strict=True)]
        return pa.schema([pa.field(TIME, ARROW_TIME, nullable=False), *fields] if self.has_time else fields)

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        return self._as_arrow(self.read())

    def tables(self) -> Iterator[pa.Table]:
        """The rows as they come, page by page, as Arrow tables."""
        return map(self._as_arrow, self.pages())

    def to_pandas(self) -> "DataFrame":
        """All rows as a DataFrame, times as its index; needs pandas (`pip install 'iotdb-cluster[pandas]'`)."""
        needed("pandas")
        frame = self.to_arrow().to_pandas()
        return frame.set_index(TIME) if self.has_time else frame

    def close(self) -> None:
        """Let the node forget the query, where there are rows left; a second time does nothing."""
        if self._is_over:
            return
        self._is_over = True
        opened = self._opened
        if opened.is_all:
            return
        request = _Close(sessionId=opened.session_id, queryId=opened.answer.queryId)
        with suppress(ClusterError):
            opened.client.call("closeOperation", (request,), opened.timeout_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _counted(self, pages: Iterator[Page]) -> Iterator[Page]:
        rows = 0
        for page in pages:
            rows += len(page)
            if self.on_rows is not None:
                self.on_rows(rows)
            yield page

    def _as_arrow(self, page: Page) -> pa.Table:
        arrays = [_arrow(column, kind) for column, kind in zip(page.columns, self.types, strict=True)]
        if self.has_time:
            arrays.insert(0, pa.array(page.times, pa.int64()).cast(ARROW_TIME))
        return pa.table(arrays, schema=self.schema)

    def _all_pages(self) -> Iterator[Page]:
        if self._is_aligned:
            for answer in self._answers():
                page = decode_rows(answer.queryDataSet, self._distinct) if answer.queryDataSet else None
                if page:
                    yield Page(page.times, tuple(page.columns[place] for place in self._places))
            return
        parts = [decode_series(answer.nonAlignQueryDataSet, self._distinct) for answer in self._answers()]
        series = [joined(pages, [kind]) for *pages, kind in zip(*parts, self._distinct, strict=True)]
        if page := side_by_side(series):
            yield Page(page.times, tuple(page.columns[place] for place in self._places))

    def _answers(self) -> Iterator[Any]:
        """The first answer and the ones that follow, each asked for before the one before it is used."""
        answer = self._opened.answer
        if self._opened.is_all and not self._is_over:
            self._is_over = True
            yield answer
        while not self._is_over:
            ahead = self._next()
            yield answer
            if self._is_over:
                return
            try:
                answer = ahead.result()
                check(answer.status)
            except RemoteError as error:
                raise typed(error) from error
            if not answer.hasResultSet:
                self._is_over = True

    def _next(self) -> Ahead:
        opened = self._opened
        request = _Fetch(
            sessionId=opened.session_id,
            statement=self.statement,
            fetchSize=self._fetch_size,
            queryId=opened.answer.queryId,
            isAlign=self._is_aligned,
        )
        return opened.client.call_ahead("fetchResults", (request,), opened.timeout_ms)


def needed(module: str) -> Any:
    """A library that is installed on demand; raises `CommandRefused` that says how."""
    try:
        return import_module(module)
    except ImportError:
        raise CommandRefused(f"this needs {module}: pip install 'iotdb-cluster[{module}]'") from None


def _arrow(column: Column, data_type: DataType) -> pa.Array:
    mask = None if column.valid is None else np.logical_not(column.valid)
    return pa.array(column.values, ARROW_TYPES[data_type], mask=mask, from_pandas=False)


def _may_ask_again(error: RequestError) -> bool:
    return isinstance(error, OutcomeUnknown | Unreachable) or had_no_effect(error)
