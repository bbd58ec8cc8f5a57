"""Pages of a query as the structs of the interface."""

from collections.abc import Sequence
from typing import Any

from iotdb_cluster.errors import RequestError
from iotdb_cluster.members import structs
from iotdb_cluster.members.query.selecting import Answer
from iotdb_cluster.members.status import status, status_of_error
from iotdb_cluster.query.result import packed_column, packed_rows
from iotdb_cluster.query.rows import Rows


def first_reply(query_id: int, answer: Answer, pages: Sequence[Rows]) -> Any:
    """The answer to a statement: the columns, and the first page of their rows."""
    aligned, apart = _data_sets(answer, pages)
    return structs.TSExecuteStatementResp(
        status=status(),
        queryId=query_id,
        columns=[column.label for column in answer.columns],
        operationType=answer.operation,
        # Absent means that the times mean something.
        ignoreTimeStamp=None if answer.has_time else True,
        dataTypeList=[column.data_type.name for column in answer.columns],
        queryDataSet=aligned,
        nonAlignQueryDataSet=apart,
    )


def next_reply(answer: Answer, pages: Sequence[Rows]) -> tuple[Any, bool]:
    """The answer to a fetch, and whether it has rows."""
    aligned, apart = _data_sets(answer, pages)
    has_rows = any(len(rows) for rows in pages)
    reply = structs.TSFetchResultsResp(
        status=status(message=f"FetchResult successfully. Has more result: {str(has_rows).lower()}"),
        hasResultSet=has_rows,
        isAlign=answer.aligned,
        queryDataSet=aligned,
        nonAlignQueryDataSet=apart,
    )
    return reply, has_rows


def no_reply(error: RequestError) -> Any:
    """The answer to a fetch that fails."""
    return structs.TSFetchResultsResp(status=status_of_error(error), hasResultSet=False, isAlign=False)


def _data_sets(answer: Answer, pages: Sequence[Rows]) -> tuple[Any, Any]:
    """The page as a `TSQueryDataSet`, or as a `TSQueryNonAlignDataSet`; the other one is None."""
    if not answer.aligned:
        columns = [packed_column(rows, one.data_types[0]) for rows, one in zip(pages, answer.pages, strict=True)]
        times, values = [time for time, _ in columns], [value for _, value in columns]
        return None, structs.TSQueryNonAlignDataSet(timeList=times, valueList=values)
    packed = packed_rows(pages[0], answer.pages[0].data_types)
    return structs.TSQueryDataSet(time=packed.time, valueList=packed.values, bitmapList=packed.bitmaps), None
