// What a client says to a node: the service of Apache IoTDB as of its first Raft cluster module. Names, ids, types and
// requiredness never change.

namespace java org.apache.iotdb.service.rpc.thrift
namespace py iotdb_service_rpc
namespace go iotdb_service_rpc
namespace js IotdbServiceRpc
namespace cpp iotdb.service.rpc

// The only version there is.
enum TSProtocolVersion {
  IOTDB_SERVICE_PROTOCOL_V1 = 0,
}

struct TSStatusType {
  1: required i32 code  // 200 is success
  2: required string message
}

struct TSStatus {
  1: required TSStatusType statusType
  2: optional list<string> infoMessages
  3: optional string sqlState
}

// Rows by column: i64 times, the values that are there packed without gaps, and a bit for each row that has one.
struct TSQueryDataSet {
  1: required binary time
  2: required list<binary> valueList
  3: required list<binary> bitmapList
}

// Each column with its own times.
struct TSQueryNonAlignDataSet {
  1: required list<binary> timeList
  2: required list<binary> valueList
}

struct TSExecuteStatementResp {
  1: required TSStatus status
  2: optional i64 queryId
  3: optional list<string> columns
  4: optional string operationType
  5: optional bool ignoreTimeStamp
  6: optional list<string> dataTypeList
  7: optional TSQueryDataSet queryDataSet
  8: optional TSQueryNonAlignDataSet nonAlignQueryDataSet
}

struct TSOpenSessionResp {
  1: required TSStatus status
  2: required TSProtocolVersion serverProtocolVersion = TSProtocolVersion.IOTDB_SERVICE_PROTOCOL_V1
  3: optional i64 sessionId
  4: optional map<string, string> configuration
}

struct TSOpenSessionReq {
  1: required TSProtocolVersion client_protocol = TSProtocolVersion.IOTDB_SERVICE_PROTOCOL_V1
  2: optional string username
  3: optional string password
  4: optional map<string, string> configuration
}

struct TSCloseSessionReq {
  1: required i64 sessionId
}

struct TSExecuteStatementReq {
  1: required i64 sessionId
  2: required string statement
  3: required i64 statementId
  4: optional i32 fetchSize
}

struct TSExecuteInsertRowInBatchResp {
  1: required i64 sessionId
  2: required list<TSStatus> statusList
}

struct TSExecuteBatchStatementResp {
  1: required TSStatus status
  2: optional list<i32> result
}

struct TSExecuteBatchStatementReq {
  1: required i64 sessionId
  2: required list<string> statements
}

struct TSGetOperationStatusReq {
  1: required i64 sessionId
  2: required i64 queryId
}

struct TSCancelOperationReq {
  1: required i64 sessionId
  2: required i64 queryId
}

struct TSCloseOperationReq {
  1: required i64 sessionId
  2: optional i64 queryId
  3: optional i64 statementId
}

struct TSFetchResultsReq {
  1: required i64 sessionId
  2: required string statement
  3: required i32 fetchSize
  4: required i64 queryId
  5: required bool isAlign
}

struct TSFetchResultsResp {
  1: required TSStatus status
  2: required bool hasResultSet
  3: required bool isAlign
  4: optional TSQueryDataSet queryDataSet
  5: optional TSQueryNonAlignDataSet nonAlignQueryDataSet
}

struct TSFetchMetadataResp {
  1: required TSStatus status
  2: optional string metadataInJson
  3: optional list<string> columnsList
  4: optional string dataType
}

struct TSFetchMetadataReq {
  1: required i64 sessionId
  2: required string type
  3: optional string columnPath
}

struct TSGetTimeZoneResp {
  1: required TSStatus status
  2: required string timeZone
}

struct TSSetTimeZoneReq {
  1: required i64 sessionId
  2: required string timeZone
}

// One row; the values are text, converted by the type of their series.
struct TSInsertReq {
  1: required i64 sessionId
  2: required string deviceId
  3: required list<string> measurements
  4: required list<string> values
  5: required i64 timestamp
}

// A tablet: `size` rows of one device, column by column, big-endian.
struct TSBatchInsertionReq {
  1: required i64 sessionId
  2: required string deviceId
  3: required list<string> measurements
  4: required binary values
  5: required binary timestamps
  6: required list<i32> types  // ordinals of the data types
  7: required i32 size
}

struct TSInsertInBatchReq {
  1: required i64 sessionId
  2: required list<string> deviceIds
  3: required list<list<string>> measurementsList
  4: required list<list<string>> valuesList
  5: required list<i64> timestamps
}

struct TSDeleteDataReq {
  1: required i64 sessionId
  2: required list<string> paths
  3: required i64 timestamp
}

struct TSCreateTimeseriesReq {
  1: required i64 sessionId
  2: required string path
  3: required i32 dataType
  4: required i32 encoding
  5: required i32 compressor
}

struct ServerProperties {
  1: required string version
  2: required list<string> supportedTimeAggregationOperations
  3: required string timestampPrecision
}

// Served on the client port.
service TSIService {
  TSOpenSessionResp openSession(1: TSOpenSessionReq req)
  TSStatus closeSession(1: TSCloseSessionReq req)
  TSExecuteStatementResp executeStatement(1: TSExecuteStatementReq req)
  TSExecuteBatchStatementResp executeBatchStatement(1: TSExecuteBatchStatementReq req)
  TSExecuteStatementResp executeQueryStatement(1: TSExecuteStatementReq req)
  TSExecuteStatementResp executeUpdateStatement(1: TSExecuteStatementReq req)
  TSFetchResultsResp fetchResults(1: TSFetchResultsReq req)
  TSFetchMetadataResp fetchMetadata(1: TSFetchMetadataReq req)
  TSStatus cancelOperation(1: TSCancelOperationReq req)
  TSStatus closeOperation(1: TSCloseOperationReq req)
  TSGetTimeZoneResp getTimeZone(1: i64 sessionId)
  TSStatus setTimeZone(1: TSSetTimeZoneReq req)
  ServerProperties getProperties()
  TSStatus setStorageGroup(1: i64 sessionId, 2: string storageGroup)
  TSStatus createTimeseries(1: TSCreateTimeseriesReq req)
  TSStatus deleteTimeseries(1: i64 sessionId, 2: list<string> path)
  TSStatus deleteStorageGroups(1: i64 sessionId, 2: list<string> storageGroup)
  TSStatus insert(1: TSInsertReq req)
  TSExecuteBatchStatementResp insertBatch(1: TSBatchInsertionReq req)
  TSExecuteInsertRowInBatchResp insertRowInBatch(1: TSInsertInBatchReq req)
  TSExecuteBatchStatementResp testInsertBatch(1: TSBatchInsertionReq req)
  TSStatus testInsertRow(1: TSInsertReq req)
  TSExecuteInsertRowInBatchResp testInsertRowInBatch(1: TSInsertInBatchReq req)
  TSStatus deleteData(1: TSDeleteDataReq req)
  i64 requestStatementId(1: i64 sessionId)
}
