# Made from thrift/*.thrift by `python -m iotdb_cluster.wire.stubs`.

class AddNodeResponse:
    respNum: int
    partitionTableBytes: bytes | None
    def __init__(
        self,
        *,
        respNum: int,
        partitionTableBytes: bytes | None = ...,
    ) -> None: ...

class AppendEntriesRequest:
    term: int
    entries: list[bytes]
    header: Node | None
    def __init__(
        self,
        *,
        term: int,
        entries: list[bytes],
        header: Node | None = ...,
    ) -> None: ...

class AppendEntryRequest:
    term: int
    entry: bytes
    header: Node | None
    def __init__(
        self,
        *,
        term: int,
        entry: bytes,
        header: Node | None = ...,
    ) -> None: ...

class ElectionRequest:
    term: int
    lastLogTerm: int
    lastLogIndex: int
    elector: Node
    header: Node | None
    dataLogLastIndex: int | None
    dataLogLastTerm: int | None
    def __init__(
        self,
        *,
        term: int,
        lastLogTerm: int,
        lastLogIndex: int,
        elector: Node,
        header: Node | None = ...,
        dataLogLastIndex: int | None = ...,
        dataLogLastTerm: int | None = ...,
    ) -> None: ...

class ExecutNonQueryReq:
    planBytes: bytes
    header: Node | None
    def __init__(
        self,
        *,
        planBytes: bytes,
        header: Node | None = ...,
    ) -> None: ...

class ExtentAnswer:
    files: int
    rows_in_files: int
    rows_in_memory: int
    def __init__(
        self,
        *,
        files: int,
        rows_in_files: int,
        rows_in_memory: int,
    ) -> None: ...

class ExtentRequest:
    header: Node
    paths: list[str]
    firsts: list[int]
    lasts: list[int]
    consistency: str
    deadline_ms: int
    def __init__(
        self,
        *,
        header: Node,
        paths: list[str],
        firsts: list[int],
        lasts: list[int],
        consistency: str,
        deadline_ms: int,
    ) -> None: ...

class FetchRowsRequest:
    header: Node
    reader: int
    max_rows: int
    deadline_ms: int
    def __init__(
        self,
        *,
        header: Node,
        reader: int,
        max_rows: int,
        deadline_ms: int,
    ) -> None: ...

class FindSeriesAnswer:
    schemas: list[bytes]
    is_moving: bool | None
    def __init__(
        self,
        *,
        schemas: list[bytes],
        is_moving: bool | None = ...,
    ) -> None: ...

class FindSeriesRequest:
    header: Node
    patterns: list[str]
    consistency: str
    deadline_ms: int
    slots: list[int] | None
    def __init__(
        self,
        *,
        header: Node,
        patterns: list[str],
        consistency: str,
        deadline_ms: int,
        slots: list[int] | None = ...,
    ) -> None: ...

class GatherAnswer:
    gathered: list[bytes]
    def __init__(
        self,
        *,
        gathered: list[bytes],
    ) -> None: ...

class GatherRequest:
    header: Node
    series: list[GatherSeries]
    windows: list[int] | None
    consistency: str
    deadline_ms: int
    def __init__(
        self,
        *,
        header: Node,
        series: list[GatherSeries],
        windows: list[int] | None = ...,
        consistency: str,
        deadline_ms: int,
    ) -> None: ...

class GatherSeries:
    path: str
    dataTypeOrdinal: int
    filterBytes: bytes | None
    functions: list[str]
    def __init__(
        self,
        *,
        path: str,
        dataTypeOrdinal: int,
        filterBytes: bytes | None = ...,
        functions: list[str],
    ) -> None: ...

class HeartBeatRequest:
    term: int
    commitLogIndex: int
    leader: Node
    requireIdentifier: bool
    regenerateIdentifier: bool
    partitionTableBytes: bytes | None
    header: Node | None
    def __init__(
        self,
        *,
        term: int,
        commitLogIndex: int,
        leader: Node,
        requireIdentifier: bool,
        regenerateIdentifier: bool,
        partitionTableBytes: bytes | None = ...,
        header: Node | None = ...,
    ) -> None: ...

class HeartBeatResponse:
    term: int
    lastLogIndex: int | None
    lastLogTerm: int | None
    follower: Node | None
    followerIdentifier: int | None
    requirePartitionTable: bool
    header: Node | None
    def __init__(
        self,
        *,
        term: int,
        lastLogIndex: int | None = ...,
        lastLogTerm: int | None = ...,
        follower: Node | None = ...,
        followerIdentifier: int | None = ...,
        requirePartitionTable: bool,
        header: Node | None = ...,
    ) -> None: ...

class HelloAnswer:
    cluster_id: bytes | None
    node: Node
    start_count: int
    start_random: int
    recent_starts: list[StartId]
    seed_digest: str
    seed_list: str
    format_version: int
    replica_num: int
    slot_count: int
    hash_seed: int
    cluster_name: str
    blind: bool
    refusal: str | None
    members_known: list[Node] | None
    removed_at: int | None
    old_copy: bool | None
    def __init__(
        self,
        *,
        cluster_id: bytes | None = ...,
        node: Node,
        start_count: int,
        start_random: int,
        recent_starts: list[StartId],
        seed_digest: str,
        seed_list: str,
        format_version: int,
        replica_num: int,
        slot_count: int,
        hash_seed: int,
        cluster_name: str,
        blind: bool,
        refusal: str | None = ...,
        members_known: list[Node] | None = ...,
        removed_at: int | None = ...,
        old_copy: bool | None = ...,
    ) -> None: ...

class HelloRequest:
    cluster_id: bytes | None
    node: Node
    start_count: int
    start_random: int
    recent_starts: list[StartId]
    seed_digest: str
    seed_list: str
    format_version: int
    replica_num: int
    slot_count: int
    hash_seed: int
    cluster_name: str
    blind: bool
    def __init__(
        self,
        *,
        cluster_id: bytes | None = ...,
        node: Node,
        start_count: int,
        start_random: int,
        recent_starts: list[StartId],
        seed_digest: str,
        seed_list: str,
        format_version: int,
        replica_num: int,
        slot_count: int,
        hash_seed: int,
        cluster_name: str,
        blind: bool,
    ) -> None: ...

class Node:
    ip: str
    metaPort: int
    nodeIdentifier: int
    dataPort: int
    def __init__(
        self,
        *,
        ip: str,
        metaPort: int,
        nodeIdentifier: int,
        dataPort: int,
    ) -> None: ...

class NodeReport:
    json: str
    def __init__(
        self,
        *,
        json: str,
    ) -> None: ...

class OpenRowsRequest:
    header: Node
    series: list[RowsSeries]
    wanted: int
    condition: bytes | None
    limit: int | None
    max_rows: int
    consistency: str
    deadline_ms: int
    requester: Node
    queryId: int
    def __init__(
        self,
        *,
        header: Node,
        series: list[RowsSeries],
        wanted: int,
        condition: bytes | None = ...,
        limit: int | None = ...,
        max_rows: int,
        consistency: str,
        deadline_ms: int,
        requester: Node,
        queryId: int,
    ) -> None: ...

class ProposeAnswer:
    statuses: list[TSStatus]
    not_leader: bool
    leader: Node | None
    def __init__(
        self,
        *,
        statuses: list[TSStatus],
        not_leader: bool,
        leader: Node | None = ...,
    ) -> None: ...

class ProposeRequest:
    header: Node | None
    plans: list[bytes]
    deadline_ms: int
    hops: int
    def __init__(
        self,
        *,
        header: Node | None = ...,
        plans: list[bytes],
        deadline_ms: int,
        hops: int,
    ) -> None: ...

class PullMoveAnswer:
    content: bytes
    paths: list[str]
    def __init__(
        self,
        *,
        content: bytes,
        paths: list[str],
    ) -> None: ...

class PullSchemaRequest:
    prefixPath: str
    header: Node | None
    def __init__(
        self,
        *,
        prefixPath: str,
        header: Node | None = ...,
    ) -> None: ...

class PullSchemaResp:
    schemaBytes: bytes
    def __init__(
        self,
        *,
        schemaBytes: bytes,
    ) -> None: ...

class PullSnapshotRequest:
    requiredSlots: list[int]
    header: Node | None
    def __init__(
        self,
        *,
        requiredSlots: list[int],
        header: Node | None = ...,
    ) -> None: ...

class PullSnapshotResp:
    snapshotBytes: dict[int, bytes] | None
    def __init__(
        self,
        *,
        snapshotBytes: dict[int, bytes] | None = ...,
    ) -> None: ...

class QueryAnswer:
    answer: TSExecuteStatementResp
    isAll: bool
    def __init__(
        self,
        *,
        answer: TSExecuteStatementResp,
        isAll: bool,
    ) -> None: ...

class ReadIndexAnswer:
    index: int
    not_leader: bool
    leader: Node | None
    def __init__(
        self,
        *,
        index: int,
        not_leader: bool,
        leader: Node | None = ...,
    ) -> None: ...

class RowsAnswer:
    reader: int
    time: bytes
    values: list[bytes]
    bitmaps: list[bytes]
    def __init__(
        self,
        *,
        reader: int,
        time: bytes,
        values: list[bytes],
        bitmaps: list[bytes],
    ) -> None: ...

class RowsSeries:
    path: str
    dataTypeOrdinal: int
    def __init__(
        self,
        *,
        path: str,
        dataTypeOrdinal: int,
    ) -> None: ...

class SendSnapshotRequest:
    snapshotBytes: bytes
    header: Node | None
    def __init__(
        self,
        *,
        snapshotBytes: bytes,
        header: Node | None = ...,
    ) -> None: ...

class ServerProperties:
    version: str
    supportedTimeAggregationOperations: list[str]
    timestampPrecision: str
    def __init__(
        self,
        *,
        version: str,
        supportedTimeAggregationOperations: list[str],
        timestampPrecision: str,
    ) -> None: ...

class SingleSeriesQueryRequest:
    path: str
    filterBytes: bytes | None
    queryId: int
    requester: Node
    pushdownUnseq: bool | None
    header: Node
    withValueFilter: bool | None
    dataTypeOrdinal: int
    def __init__(
        self,
        *,
        path: str,
        filterBytes: bytes | None = ...,
        queryId: int,
        requester: Node,
        pushdownUnseq: bool | None = ...,
        header: Node,
        withValueFilter: bool | None = ...,
        dataTypeOrdinal: int,
    ) -> None: ...

class StartId:
    count: int
    random: int
    def __init__(
        self,
        *,
        count: int,
        random: int,
    ) -> None: ...

class TNodeStatus: ...

class TSBatchInsertionReq:
    sessionId: int
    deviceId: str
    measurements: list[str]
    values: bytes
    timestamps: bytes
    types: list[int]
    size: int
    def __init__(
        self,
        *,
        sessionId: int,
        deviceId: str,
        measurements: list[str],
        values: bytes,
        timestamps: bytes,
        types: list[int],
        size: int,
    ) -> None: ...

class TSCancelOperationReq:
    sessionId: int
    queryId: int
    def __init__(
        self,
        *,
        sessionId: int,
        queryId: int,
    ) -> None: ...

class TSCloseOperationReq:
    sessionId: int
    queryId: int | None
    statementId: int | None
    def __init__(
        self,
        *,
        sessionId: int,
        queryId: int | None = ...,
        statementId: int | None = ...,
    ) -> None: ...

class TSCloseSessionReq:
    sessionId: int
    def __init__(
        self,
        *,
        sessionId: int,
    ) -> None: ...

class TSCreateTimeseriesReq:
    sessionId: int
    path: str
    dataType: int
    encoding: int
    compressor: int
    def __init__(
        self,
        *,
        sessionId: int,
        path: str,
        dataType: int,
        encoding: int,
        compressor: int,
    ) -> None: ...

class TSDeleteDataReq:
    sessionId: int
    paths: list[str]
    timestamp: int
    def __init__(
        self,
        *,
        sessionId: int,
        paths: list[str],
        timestamp: int,
    ) -> None: ...

class TSExecuteBatchStatementReq:
    sessionId: int
    statements: list[str]
    def __init__(
        self,
        *,
        sessionId: int,
        statements: list[str],
    ) -> None: ...

class TSExecuteBatchStatementResp:
    status: TSStatus
    result: list[int] | None
    def __init__(
        self,
        *,
        status: TSStatus,
        result: list[int] | None = ...,
    ) -> None: ...

class TSExecuteInsertRowInBatchResp:
    sessionId: int
    statusList: list[TSStatus]
    def __init__(
        self,
        *,
        sessionId: int,
        statusList: list[TSStatus],
    ) -> None: ...

class TSExecuteStatementReq:
    sessionId: int
    statement: str
    statementId: int
    fetchSize: int | None
    def __init__(
        self,
        *,
        sessionId: int,
        statement: str,
        statementId: int,
        fetchSize: int | None = ...,
    ) -> None: ...

class TSExecuteStatementResp:
    status: TSStatus
    queryId: int | None
    columns: list[str] | None
    operationType: str | None
    ignoreTimeStamp: bool | None
    dataTypeList: list[str] | None
    queryDataSet: TSQueryDataSet | None
    nonAlignQueryDataSet: TSQueryNonAlignDataSet | None
    def __init__(
        self,
        *,
        status: TSStatus,
        queryId: int | None = ...,
        columns: list[str] | None = ...,
        operationType: str | None = ...,
        ignoreTimeStamp: bool | None = ...,
        dataTypeList: list[str] | None = ...,
        queryDataSet: TSQueryDataSet | None = ...,
        nonAlignQueryDataSet: TSQueryNonAlignDataSet | None = ...,
    ) -> None: ...

class TSFetchMetadataReq:
    sessionId: int
    type: str
    columnPath: str | None
    def __init__(
        self,
        *,
        sessionId: int,
        type: str,
        columnPath: str | None = ...,
    ) -> None: ...

class TSFetchMetadataResp:
    status: TSStatus
    metadataInJson: str | None
    columnsList: list[str] | None
    dataType: str | None
    def __init__(
        self,
        *,
        status: TSStatus,
        metadataInJson: str | None = ...,
        columnsList: list[str] | None = ...,
        dataType: str | None = ...,
    ) -> None: ...

class TSFetchResultsReq:
    sessionId: int
    statement: str
    fetchSize: int
    queryId: int
    isAlign: bool
    def __init__(
        self,
        *,
        sessionId: int,
        statement: str,
        fetchSize: int,
        queryId: int,
        isAlign: bool,
    ) -> None: ...

class TSFetchResultsResp:
    status: TSStatus
    hasResultSet: bool
    isAlign: bool
    queryDataSet: TSQueryDataSet | None
    nonAlignQueryDataSet: TSQueryNonAlignDataSet | None
    def __init__(
        self,
        *,
        status: TSStatus,
        hasResultSet: bool,
        isAlign: bool,
        queryDataSet: TSQueryDataSet | None = ...,
        nonAlignQueryDataSet: TSQueryNonAlignDataSet | None = ...,
    ) -> None: ...

class TSGetOperationStatusReq:
    sessionId: int
    queryId: int
    def __init__(
        self,
        *,
        sessionId: int,
        queryId: int,
    ) -> None: ...

class TSGetTimeZoneResp:
    status: TSStatus
    timeZone: str
    def __init__(
        self,
        *,
        status: TSStatus,
        timeZone: str,
    ) -> None: ...

class TSInsertInBatchReq:
    sessionId: int
    deviceIds: list[str]
    measurementsList: list[list[str]]
    valuesList: list[list[str]]
    timestamps: list[int]
    def __init__(
        self,
        *,
        sessionId: int,
        deviceIds: list[str],
        measurementsList: list[list[str]],
        valuesList: list[list[str]],
        timestamps: list[int],
    ) -> None: ...

class TSInsertReq:
    sessionId: int
    deviceId: str
    measurements: list[str]
    values: list[str]
    timestamp: int
    def __init__(
        self,
        *,
        sessionId: int,
        deviceId: str,
        measurements: list[str],
        values: list[str],
        timestamp: int,
    ) -> None: ...

class TSOpenSessionReq:
    client_protocol: int
    username: str | None
    password: str | None
    configuration: dict[str, str] | None
    def __init__(
        self,
        *,
        client_protocol: int = ...,
        username: str | None = ...,
        password: str | None = ...,
        configuration: dict[str, str] | None = ...,
    ) -> None: ...

class TSOpenSessionResp:
    status: TSStatus
    serverProtocolVersion: int
    sessionId: int | None
    configuration: dict[str, str] | None
    def __init__(
        self,
        *,
        status: TSStatus,
        serverProtocolVersion: int = ...,
        sessionId: int | None = ...,
        configuration: dict[str, str] | None = ...,
    ) -> None: ...

class TSQueryDataSet:
    time: bytes
    valueList: list[bytes]
    bitmapList: list[bytes]
    def __init__(
        self,
        *,
        time: bytes,
        valueList: list[bytes],
        bitmapList: list[bytes],
    ) -> None: ...

class TSQueryNonAlignDataSet:
    timeList: list[bytes]
    valueList: list[bytes]
    def __init__(
        self,
        *,
        timeList: list[bytes],
        valueList: list[bytes],
    ) -> None: ...

class TSSetTimeZoneReq:
    sessionId: int
    timeZone: str
    def __init__(
        self,
        *,
        sessionId: int,
        timeZone: str,
    ) -> None: ...

class TSStatus:
    statusType: TSStatusType
    infoMessages: list[str] | None
    sqlState: str | None
    def __init__(
        self,
        *,
        statusType: TSStatusType,
        infoMessages: list[str] | None = ...,
        sqlState: str | None = ...,
    ) -> None: ...

class TSStatusType:
    code: int
    message: str
    def __init__(
        self,
        *,
        code: int,
        message: str,
    ) -> None: ...
