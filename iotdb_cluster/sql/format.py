"""A statement as text again: what `parse` gives the same statement for, apart from passwords, which are not shown."""

from iotdb_cluster.sql import statements as sql
from iotdb_cluster.sql.conditions import TIME, And, Comparison, Condition, Not, Or, TimeComparison
from iotdb_cluster.sql.times import time_text
from iotdb_cluster.types.filters import CompareOp
from iotdb_cluster.types.schema import TimeseriesSchema

HIDDEN_PASSWORD = "'******'"

_OPERATORS = {
    CompareOp.EQ: "=",
    CompareOp.NEQ: "!=",
    CompareOp.LT: "<",
    CompareOp.LTEQ: "<=",
    CompareOp.GT: ">",
    CompareOp.GTEQ: ">=",
}


def format_statement(statement: sql.Statement) -> str:
    """One line of SQL; times stand as milliseconds, those before 1970 as dates where no sign is allowed."""
    match statement:
        case sql.Select():
            return _select(statement)
        case sql.Explain(select):
            return f"EXPLAIN {_select(select)}"
        case sql.Insert(device, time_ms, measurements, values):
            names, texts = ", ".join(measurements), ", ".join(value.text for value in values)
            return f"INSERT INTO {device}(timestamp, {names}) VALUES({time_text(time_ms)}, {texts})"
        case sql.DeleteData(patterns, until_ms):
            where = "" if until_ms is None else f" WHERE {TIME} <= {until_ms}"
            return f"DELETE FROM {', '.join(patterns)}{where}"
        case sql.SetStorageGroup(path):
            return f"SET STORAGE GROUP TO {path}"
        case sql.DeleteStorageGroups(paths):
            return f"DELETE STORAGE GROUP {', '.join(paths)}"
        case sql.CreateTimeseries(schema):
            return _create_timeseries(schema)
        case sql.DeleteTimeseries(patterns):
            return f"DELETE TIMESERIES {', '.join(patterns)}"
        case sql.SetTtl(path, ttl_ms):
            return f"SET TTL TO {path} {ttl_ms}"
        case sql.UnsetTtl(path):
            return f"UNSET TTL TO {path}"
    return _show(statement) or _account(statement) or _administration(statement)


def format_condition(condition: Condition) -> str:
    """The condition behind WHERE, with no more parentheses than it needs."""
    match condition:
        case Comparison(path, op, literal):
            return f"{path} {_OPERATORS[op]} {literal.text}"
        case TimeComparison(op, time_ms):
            return f"{TIME} {_OPERATORS[op]} {time_ms}"
        case Not(term):
            return f"NOT({format_condition(term)})"
        case Or(terms):
            return " OR ".join(format_condition(term) for term in terms)
        case And(terms):
            return " AND ".join(
                f"({format_condition(term)})" if isinstance(term, Or) else format_condition(term) for term in terms
            )


def _select(select: sql.Select) -> str:
    parts = ["SELECT", ", ".join(item.label(item.path) for item in select.items), "FROM", ", ".join(select.prefixes)]
    if select.where:
        parts.append(f"WHERE {format_condition(select.where)}")
    if select.windows:
        parts.append(_windows(select.windows))
    if select.fill:
        rules = ", ".join(_fill_rule(rule) for rule in select.fill.rules)
        parts.append(f"WHERE {TIME} = {select.fill.at_ms} FILL({rules})")
    if select.limit:
        parts.append(f"LIMIT {select.limit}" + (f" OFFSET {select.offset}" if select.offset else ""))
    if select.series_limit:
        parts.append(
            f"SLIMIT {select.series_limit}" + (f" SOFFSET {select.series_offset}" if select.series_offset else "")
        )
    if select.by_device:
        parts.append("GROUP BY DEVICE")
    if not select.aligned:
        parts.append("DISABLE ALIGN")
    return " ".join(parts)


def _windows(windows: sql.Windows) -> str:
    step = "" if windows.step_ms == windows.unit_ms else f", {windows.step_ms}ms"
    span = f"[{time_text(windows.start_ms)}, {time_text(windows.end_ms)}]"
    return f"GROUP BY({span}, {windows.unit_ms}ms{step})"


def _fill_rule(rule: sql.FillRule) -> str:
    durations = "".join(f", {length}ms" for length in (rule.before_ms, rule.after_ms) if length is not None)
    return f"{rule.data_type.name.lower()}[{rule.method}{durations}]"


def _create_timeseries(schema: TimeseriesSchema) -> str:
    properties = "".join(f", {name}={value}" for name, value in schema.props)
    return (
        f"CREATE TIMESERIES {schema.path} WITH DATATYPE={schema.data_type.name}, ENCODING={schema.encoding.name}, "
        f"COMPRESSOR={schema.compression.name}{properties}"
    )


def _show(statement: sql.Statement) -> str | None:
    match statement:
        case sql.ShowStorageGroups():
            return "SHOW STORAGE GROUP"
        case sql.ShowTimeseries(pattern):
            return _with("SHOW TIMESERIES", pattern)
        case sql.ShowDevices(pattern):
            return _with("SHOW DEVICES", pattern)
        case sql.ShowChildPaths(path):
            return _with("SHOW CHILD PATHS", path)
        case sql.CountTimeseries(pattern, level):
            return _with(f"COUNT TIMESERIES {pattern}", None if level is None else f"GROUP BY LEVEL={level}")
        case sql.CountNodes(pattern, level):
            return f"COUNT NODES {pattern} LEVEL={level}"
        case sql.ShowTtl(paths):
            return "SHOW ALL TTL" if paths is None else f"SHOW TTL ON {', '.join(paths)}"
        case sql.ShowVersion():
            return "SHOW VERSION"
        case sql.ShowFlushTaskInfo():
            return "SHOW FLUSH TASK INFO"
        case sql.ShowDynamicParameter():
            return "SHOW DYNAMIC PARAMETER"
    return None


def _account(statement: sql.Statement) -> str | None:
    match statement:
        case sql.CreateUser(user):
            return f"CREATE USER {user} {HIDDEN_PASSWORD}"
        case sql.AlterUser(user):
            return f"ALTER USER {user} SET PASSWORD {HIDDEN_PASSWORD}"
        case sql.DropUser(user):
            return f"DROP USER {user}"
        case sql.CreateRole(role):
            return f"CREATE ROLE {role}"
        case sql.DropRole(role):
            return f"DROP ROLE {role}"
        case sql.GrantPrivileges(grantee, name, privileges, path):
            return f"GRANT {grantee.name} {name} PRIVILEGES {_quoted(privileges)} ON {path}"
        case sql.RevokePrivileges(grantee, name, privileges, path):
            return f"REVOKE {grantee.name} {name} PRIVILEGES {_quoted(privileges)} ON {path}"
        case sql.GrantRole(role, user):
            return f"GRANT {role} TO {user}"
        case sql.RevokeRole(role, user):
            return f"REVOKE {role} FROM {user}"
        case sql.SetWatermark(users, is_granted):
            words = "GRANT WATERMARK_EMBEDDING TO" if is_granted else "REVOKE WATERMARK_EMBEDDING FROM"
            return f"{words} {', '.join(users)}"
        case sql.ListUsers():
            return "LIST USER"
        case sql.ListRoles():
            return "LIST ROLE"
        case sql.ListPrivileges(grantee, name, None):
            return f"LIST {grantee.name} PRIVILEGES {name}"
        case sql.ListPrivileges(grantee, name, path):
            return f"LIST PRIVILEGES {grantee.name} {name} ON {path}"
        case sql.ListRolesOfUser(user):
            return f"LIST ALL ROLE OF USER {user}"
        case sql.ListUsersOfRole(role):
            return f"LIST ALL USER OF ROLE {role}"
    return None


def _administration(statement: sql.Statement) -> str:
    match statement:
        case sql.SetConsistencyLevel(level):
            return f"SET CONSISTENCY LEVEL {level.name}"
        case sql.Flush(paths, sequence):
            return _with(_with("FLUSH", ", ".join(paths)), None if sequence is None else str(sequence).lower())
        case sql.Merge(full):
            return "FULL MERGE" if full else "MERGE"
        case sql.LoadConfiguration():
            return "LOAD CONFIGURATION"
        case sql.FileCommand(verb, arguments):
            return f"{verb.name} {' '.join(arguments)}"
        case sql.Labelling(words):
            return " ".join(words)
    raise TypeError(f"no statement: {statement!r}")


def _with(words: str, more: str | None) -> str:
    return f"{words} {more}" if more else words


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' if "'" in name else f"'{name}'" for name in names)
