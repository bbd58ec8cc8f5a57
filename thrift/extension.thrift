// What the nodes of this project say to each other beyond the mirrored interface. Each service extends a mirrored one
// and is served on the same port, so that a client of the mirrored interface never notices. Thrift knows no second base,
// so the same methods stand in both services.

include "cluster.thrift"
include "rpc.thrift"

namespace java org.apache.iotdb.cluster.extension.thrift
namespace py iotdb_cluster_extension
namespace go iotdb_cluster_extension
namespace js IotdbClusterExtension
namespace cpp iotdb.cluster.extension

// One start of a node's process: the count goes up by one each time, the random number tells copies of a folder apart.
struct StartId {
  1: required i64 count
  2: required i64 random
}

// The first call on each connection between nodes: who asks. A mirrored call does not name its addressee, so an answer
// counts as a member's only on a connection whose `hello` named that member.
struct HelloRequest {
  1: optional binary cluster_id  // 16 bytes; absent while the node is blind
  2: required cluster.Node node
  3: required i64 start_count
  4: required i64 start_random
  5: required list<StartId> recent_starts  // since the last one that the meta log acknowledged, ascending
  6: required string seed_digest  // hex
  7: required string seed_list  // the list that was digested, to show where two differ
  8: required i32 format_version
  9: required i32 replica_num
  10: required i32 slot_count
  11: required i32 hash_seed
  12: required string cluster_name
  13: required bool blind  // knows no membership yet
}

// Who answers; the same content.
struct HelloAnswer {
  1: optional binary cluster_id
  2: required cluster.Node node
  3: required i64 start_count
  4: required i64 start_random
  5: required list<StartId> recent_starts
  6: required string seed_digest
  7: required string seed_list
  8: required i32 format_version
  9: required i32 replica_num
  10: required i32 slot_count
  11: required i32 hash_seed
  12: required string cluster_name
  13: required bool blind
  14: optional string refusal  // set: the caller is refused, and why
  15: optional list<cluster.Node> members_known  // the meta group as the answerer knows it
  16: optional i64 removed_at  // set: the caller was removed, as the meta log says that the answerer applied so far
  17: optional bool old_copy  // true: the caller is refused since it has forgotten a start that the answerer knows
}

// Plans to be proposed in one batch by the leader of a group.
struct ProposeRequest {
  1: optional cluster.Node header  // absent: the meta group
  2: required list<binary> plans
  3: required i64 deadline_ms  // the time that is left
  4: required i32 hops  // how often the batch was forwarded already
}

struct ProposeAnswer {
  1: required list<rpc.TSStatus> statuses  // one for each plan, or none when `not_leader`
  2: required bool not_leader  // the batch certainly took no effect
  3: optional cluster.Node leader  // who leads, as far as the answerer knows
}

struct ReadIndexAnswer {
  1: required i64 index
  2: required bool not_leader
  3: optional cluster.Node leader
}

// Which series of a data group match, for a statement of the client port, whose session says how fresh its reads are.
struct FindSeriesRequest {
  1: required cluster.Node header
  2: required list<string> patterns
  3: required string consistency  // strong, mid or weak
  4: required i64 deadline_ms  // the time that is left
  5: optional list<i32> slots  // every slot that the group is asked for
}

struct FindSeriesAnswer {
  1: required list<binary> schemas  // for each pattern as in `schemaBytes`, in the order of creation
  2: optional bool is_moving  // one of the slots is not read here; the schemas count for nothing
}

// Functions over the points of one series that fulfil a filter.
struct GatherSeries {
  1: required string path
  2: required i32 dataTypeOrdinal
  3: optional binary filterBytes
  4: required list<string> functions  // their names in SQL
}

// Functions over series of one data group: over all their points, or over those of each window.
struct GatherRequest {
  1: required cluster.Node header
  2: required list<GatherSeries> series
  3: optional list<i64> windows  // first time, last time, length and step of GROUP BY
  4: required string consistency
  5: required i64 deadline_ms
}

struct GatherAnswer {
  1: required list<binary> gathered  // for each series, in order: what its windows hold as `members/query/gathered.py` packs it
}

struct RowsSeries {
  1: required string path
  2: required i32 dataTypeOrdinal
}

// Rows of series of one data group at which a condition holds, with a value in at least one of the wanted columns.
struct OpenRowsRequest {
  1: required cluster.Node header
  2: required list<RowsSeries> series
  3: required i32 wanted  // the rows have the values of so many series, the first ones
  4: optional binary condition  // as `members/query/condition_bytes.py` packs it; looks at positions in `series`
  5: optional i64 limit  // no more rows are asked for in all
  6: required i32 max_rows  // of the first page
  7: required string consistency
  8: required i64 deadline_ms
  9: required cluster.Node requester
  10: required i64 queryId  // `endQuery` closes what is open
}

struct FetchRowsRequest {
  1: required cluster.Node header
  2: required i64 reader
  3: required i32 max_rows
  4: required i64 deadline_ms
}

struct RowsAnswer {
  1: required i64 reader  // 0 when these are the last rows
  2: required binary time  // times, values and bitmaps as in a `TSQueryDataSet`
  3: required list<binary> values
  4: required list<binary> bitmaps
}

// How much there is to read of series of one data group, for EXPLAIN.
struct ExtentRequest {
  1: required cluster.Node header
  2: required list<string> paths
  3: required list<i64> firsts  // of each series the times that are read, both included
  4: required list<i64> lasts
  5: required string consistency
  6: required i64 deadline_ms
}

struct ExtentAnswer {
  1: required i32 files
  2: required i64 rows_in_files
  3: required i64 rows_in_memory
}

// What moves between two data groups, as one of their members has it.
struct PullMoveAnswer {
  1: required binary content  // storage groups, series, files and deletions, as in an install entry
  2: required list<string> paths  // of each file, for `readFile` at the node that answers
}

// A node's status for people and tools: a JSON object.
struct NodeReport {
  1: required string json
}

// Served on the meta port.
service MetaExtension extends cluster.TSMetaService {
  HelloAnswer hello(1: HelloRequest request)

  // A vote request that the mirrored `startElection` cannot say: what the answer would be (preVote), or a campaign
  // that the leader itself asked for (handover).
  i64 vote(1: cluster.ElectionRequest request, 2: bool preVote, 3: bool handover)

  // The leader of `term` asks a caught-up voter to campaign at once.
  i64 timeoutNow(1: i64 term, 2: cluster.Node leader, 3: cluster.Node header)

  ProposeAnswer propose(1: ProposeRequest request)

  // What must be applied before a read that starts now; `deadline_ms` is the time that is left.
  ReadIndexAnswer readIndex(1: cluster.Node header, 2: i64 deadline_ms)

  // The node `identifier` was removed by the meta entry at `metaIndex`.
  void exile(1: i32 identifier, 2: i64 metaIndex)

  NodeReport report()
}

// Served on the data port; the methods of MetaExtension, and what queries ask of a data group.
service DataExtension extends cluster.TSDataService {
  HelloAnswer hello(1: HelloRequest request)
  i64 vote(1: cluster.ElectionRequest request, 2: bool preVote, 3: bool handover)
  i64 timeoutNow(1: i64 term, 2: cluster.Node leader, 3: cluster.Node header)
  ProposeAnswer propose(1: ProposeRequest request)
  ReadIndexAnswer readIndex(1: cluster.Node header, 2: i64 deadline_ms)
  void exile(1: i32 identifier, 2: i64 metaIndex)
  NodeReport report()

  FindSeriesAnswer findSeries(1: FindSeriesRequest request)
  GatherAnswer gather(1: GatherRequest request)
  ExtentAnswer extent(1: ExtentRequest request)
  RowsAnswer openRows(1: OpenRowsRequest request)
  RowsAnswer fetchRows(1: FetchRowsRequest request)

  // Everything a member has applied of its group, up to entry `atLeast` or further, for a member whose files are damaged:
  // the bytes of `sendSnapshot`, whose files may be read by `readFile`.
  binary offerStore(1: cluster.Node header, 2: i64 atLeast)

  // The caller, a member of the group `header`, has less room on its disk than it wants to keep.
  void nearlyFull(1: cluster.Node header)

  // The content of a slot move, from the group `header` that is its source or target; with `fenced` only from a member
  // that has applied the fence.
  PullMoveAnswer pullMove(1: cluster.Node header, 2: i64 move, 3: bool fenced)
}

// The answer to a query. With `isAll` its page has all rows and the query is over: there is nothing to fetch or to close.
struct QueryAnswer {
  1: required rpc.TSExecuteStatementResp answer
  2: required bool isAll
}

// Served on the client port.
service ClientExtension extends rpc.TSIService {
  // Lets a client that knows one client port find the cluster's other ports; needs a session.
  NodeReport report(1: i64 sessionId)

  // As executeQueryStatement; saves the call that finds out that a short answer was all.
  QueryAnswer query(1: rpc.TSExecuteStatementReq request)
}
