"""The interface's structs by name: the classes that thriftpy2 made of the IDL, which carry no types."""

from typing import Any

from iotdb_cluster.wire.idl import STRUCTS


def _made(name: str) -> Any:
    return STRUCTS[name].make


# cluster.thrift
AddNodeResponse = _made("AddNodeResponse")
AppendEntriesRequest = _made("AppendEntriesRequest")
ElectionRequest = _made("ElectionRequest")
HeartBeatRequest = _made("HeartBeatRequest")
HeartBeatResponse = _made("HeartBeatResponse")
NodeStruct = _made("Node")
PullSchemaRequest = _made("PullSchemaRequest")
PullSchemaResp = _made("PullSchemaResp")
PullSnapshotResp = _made("PullSnapshotResp")
SendSnapshotRequest = _made("SendSnapshotRequest")
SingleSeriesQueryRequest = _made("SingleSeriesQueryRequest")
TNodeStatus = _made("TNodeStatus")

# rpc.thrift
ServerProperties = _made("ServerProperties")
TSExecuteBatchStatementResp = _made("TSExecuteBatchStatementResp")
TSExecuteInsertRowInBatchResp = _made("TSExecuteInsertRowInBatchResp")
TSExecuteStatementResp = _made("TSExecuteStatementResp")
TSFetchMetadataResp = _made("TSFetchMetadataResp")
TSFetchResultsResp = _made("TSFetchResultsResp")
TSGetTimeZoneResp = _made("TSGetTimeZoneResp")
TSOpenSessionResp = _made("TSOpenSessionResp")
TSQueryDataSet = _made("TSQueryDataSet")
TSQueryNonAlignDataSet = _made("TSQueryNonAlignDataSet")
TSStatus = _made("TSStatus")
TSStatusType = _made("TSStatusType")

# extension.thrift
ExtentAnswer = _made("ExtentAnswer")
ExtentRequest = _made("ExtentRequest")
FetchRowsRequest = _made("FetchRowsRequest")
FindSeriesAnswer = _made("FindSeriesAnswer")
FindSeriesRequest = _made("FindSeriesRequest")
GatherAnswer = _made("GatherAnswer")
GatherRequest = _made("GatherRequest")
GatherSeries = _made("GatherSeries")
HelloAnswer = _made("HelloAnswer")
HelloRequest = _made("HelloRequest")
NodeReport = _made("NodeReport")
OpenRowsRequest = _made("OpenRowsRequest")
ProposeAnswer = _made("ProposeAnswer")
ProposeRequest = _made("ProposeRequest")
PullMoveAnswer = _made("PullMoveAnswer")
QueryAnswer = _made("QueryAnswer")
ReadIndexAnswer = _made("ReadIndexAnswer")
RowsAnswer = _made("RowsAnswer")
RowsSeries = _made("RowsSeries")
StartId = _made("StartId")
