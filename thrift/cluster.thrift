// What nodes of a cluster say to each other, and what any Thrift client may say to a node: the interface of Apache IoTDB's
// first Raft cluster module. Names, ids, types and requiredness never change; what is ours stands in extension.thrift.
// What stands inside the `binary` fields is read and written by iotdb_cluster/wire.

include "rpc.thrift"

namespace java org.apache.iotdb.cluster.rpc.thrift
namespace py iotdb_cluster_rpc
namespace go iotdb_cluster_rpc
namespace js IotdbClusterRpc
namespace cpp iotdb.cluster.rpc

// A node as others reach it; as `header` it names the data group of which it is the first member.
struct Node {
  1: required string ip
  2: required i32 metaPort
  3: required i32 nodeIdentifier
  4: required i32 dataPort
}

// With a header, all indexes are the data group's.
struct HeartBeatRequest {
  1: required i64 term
  2: required i64 commitLogIndex
  3: required Node leader
  4: required bool requireIdentifier
  5: required bool regenerateIdentifier
  6: optional binary partitionTableBytes  // for a blind node
  7: optional Node header
}

// `term` is -1 when the leader is accepted, else the answerer's own term.
struct HeartBeatResponse {
  1: required i64 term
  2: optional i64 lastLogIndex
  3: optional i64 lastLogTerm
  4: optional Node follower
  5: optional i32 followerIdentifier
  6: required bool requirePartitionTable
  7: optional Node header
}

// With a header, `lastLog*` are those of the candidate's meta log and `dataLogLast*` those of the data log.
struct ElectionRequest {
  1: required i64 term
  2: required i64 lastLogTerm
  3: required i64 lastLogIndex
  4: required Node elector
  5: optional Node header
  6: optional i64 dataLogLastIndex
  7: optional i64 dataLogLastTerm
}

struct AppendEntryRequest {
  1: required i64 term
  2: required binary entry  // one encoded log entry
  3: optional Node header
}

// Entries that are a chain, each encoded as in AppendEntryRequest.
struct AppendEntriesRequest {
  1: required i64 term
  2: required list<binary> entries
  3: optional Node header
}

struct AddNodeResponse {
  1: required i32 respNum  // -1: the node is in; other numbers say why not
  2: optional binary partitionTableBytes
}

struct SendSnapshotRequest {
  1: required binary snapshotBytes
  2: optional Node header
}

struct PullSnapshotRequest {
  1: required list<i32> requiredSlots
  2: optional Node header
}

struct PullSnapshotResp {
  1: optional map<i32, binary> snapshotBytes  // slot to file snapshot
}

struct ExecutNonQueryReq {
  1: required binary planBytes  // one encoded physical plan
  2: optional Node header
}

struct PullSchemaRequest {
  1: required string prefixPath
  2: optional Node header
}

struct PullSchemaResp {
  1: required binary schemaBytes  // i32 count, then the schemas
}

struct SingleSeriesQueryRequest {
  1: required string path
  2: optional binary filterBytes
  3: required i64 queryId
  4: required Node requester
  5: optional bool pushdownUnseq
  6: required Node header
  7: optional bool withValueFilter
  8: required i32 dataTypeOrdinal
}

struct TNodeStatus {}

// Served on the meta port (header absent: the meta group) and on the data port (header: the data group).
// Answers that are numbers: negative ones are verdicts (-1 agrees), others the answerer's term.
service RaftService {
  HeartBeatResponse sendHeartBeat(1: HeartBeatRequest request)
  i64 startElection(1: ElectionRequest request)
  i64 appendEntries(1: AppendEntriesRequest request)
  i64 appendEntry(1: AppendEntryRequest request)
  void sendSnapshot(1: SendSnapshotRequest request)
  rpc.TSStatus executeNonQueryPlan(1: ExecutNonQueryReq request)
  i64 requestCommitIndex(1: Node header)
  PullSchemaResp pullTimeSeriesSchema(1: PullSchemaRequest request)
  binary readFile(1: string filePath, 2: i64 offset, 3: i32 length, 4: Node header)
}

// Served on the data port.
service TSDataService extends RaftService {
  i64 querySingleSeries(1: SingleSeriesQueryRequest request)
  binary fetchSingleSeries(1: Node header, 2: i64 readerId)
  i64 querySingleSeriesByTimestamp(1: SingleSeriesQueryRequest request)
  binary fetchSingleSeriesByTimestamp(1: Node header, 2: i64 readerId, 3: i64 timestamp)
  void endQuery(1: Node header, 2: Node thisNode, 3: i64 queryId)
  list<string> getAllPaths(1: Node header, 2: string path)
  PullSnapshotResp pullSnapshot(1: PullSnapshotRequest request)
}

// Served on the meta port.
service TSMetaService extends RaftService {
  AddNodeResponse addNode(1: Node node)
  i64 removeNode(1: Node node)
  TNodeStatus queryNodeStatus()
  Node checkAlive()
}
