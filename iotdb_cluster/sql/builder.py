"""The callbacks of all statements but SELECT: from the rules of `grammar.lark` to the tree, as in `select_rules.py`."""

from lark import Token, v_args

from iotdb_cluster.errors import StatusCode
from iotdb_cluster.sql import statements as sql
from iotdb_cluster.sql.conditions import TimeComparison
from iotdb_cluster.sql.keywords import CONTEXTUAL, keyword_of
from iotdb_cluster.sql.refusal import Refusal, shown
from iotdb_cluster.sql.select_rules import (
    GREATEST_INT32,
    Constant,
    SelectRules,
    Where,
    instant_ms,
    integer,
    place,
    texts_of,
)
from iotdb_cluster.sql.times import GREATEST_TIME_MS, LEAST_TIME_MS
from iotdb_cluster.types.filters import CompareOp
from iotdb_cluster.types.schema import Compression, DataType, Encoding, TimeseriesSchema

_FOR_INTEGERS = frozenset({Encoding.PLAIN, Encoding.RLE, Encoding.TS_2DIFF})
_FOR_FLOATS = _FOR_INTEGERS | {Encoding.GORILLA}
ENCODINGS = {
    DataType.BOOLEAN: frozenset({Encoding.PLAIN, Encoding.RLE}),
    DataType.INT32: _FOR_INTEGERS,
    DataType.INT64: _FOR_INTEGERS,
    DataType.FLOAT: _FOR_FLOATS,
    DataType.DOUBLE: _FOR_FLOATS,
    DataType.TEXT: frozenset({Encoding.PLAIN}),
}
"""The encodings that CREATE TIMESERIES takes for a type."""

_SPEAKING_WORDS = 2
"""How many keywords at the beginning say what a statement is."""


@v_args(inline=True)
class Builder(SelectRules):
    """All rules of the grammar."""

    # ---- data

    def insert(
        self, device: Token, measurements: tuple[Token, ...], time: Token, values: tuple[Constant, ...]
    ) -> sql.Insert:
        if len(values) != len(measurements):
            token = values[-1].token
            raise Refusal(
                f"{len(measurements)} measurements and {len(values)} values",
                place(token),
                str(token),
                code=StatusCode.EXECUTE_STATEMENT_ERROR,
            )
        return sql.Insert(
            str(device),
            instant_ms(time),
            tuple([str(name) for name in measurements]),
            tuple([value.literal for value in values]),
        )

    def measurements(self, *names: Token) -> tuple[Token, ...]:
        return names

    def values(self, *constants: Constant) -> tuple[Constant, ...]:
        return constants

    def delete_data(self, patterns: tuple[str, ...], where: Where | None) -> sql.DeleteData:
        match where:
            case None:
                return sql.DeleteData(patterns)
            case Where(TimeComparison(CompareOp.LTEQ, time_ms)):
                return sql.DeleteData(patterns, time_ms)
            case Where(TimeComparison(CompareOp.LT, time_ms)) if time_ms > LEAST_TIME_MS:
                return sql.DeleteData(patterns, time_ms - 1)
        problem = "the condition of DELETE can only be 'time < ...' or 'time <= ...'"
        raise Refusal(problem, place(where.token), str(where.token), is_tree=True)

    # ---- storage groups, series, time to live

    def set_storage_group(self, path: Token) -> sql.SetStorageGroup:
        return sql.SetStorageGroup(str(path))

    def delete_storage_groups(self, paths: tuple[str, ...]) -> sql.DeleteStorageGroups:
        return sql.DeleteStorageGroups(paths)

    def create_timeseries(
        self,
        path: Token,
        type_token: Token,
        encoding_token: Token,
        compressor: Constant | None,
        properties: tuple[tuple[str, str], ...],
    ) -> sql.CreateTimeseries:
        data_type, encoding = DataType[type_token.type], Encoding[encoding_token.type]
        if encoding not in ENCODINGS[data_type]:
            fitting = ", ".join(sorted(known.name for known in ENCODINGS[data_type]))
            problem = f"the encoding {encoding.name} does not suit {data_type.name}; these do: {fitting}"
            raise Refusal(problem, place(encoding_token), str(encoding_token), is_tree=True)
        compression = self._compression(compressor) if compressor else Compression.SNAPPY
        return sql.CreateTimeseries(TimeseriesSchema(str(path), data_type, encoding, compression, properties))

    def properties(self, *pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(dict(pairs).items()))

    def property(self, name: Token, value: Constant) -> tuple[str, str]:
        return str(name), value.literal.text

    def delete_timeseries(self, patterns: tuple[str, ...]) -> sql.DeleteTimeseries:
        return sql.DeleteTimeseries(patterns)

    def set_ttl(self, path: Token, ttl: Token) -> sql.SetTtl:
        return sql.SetTtl(str(path), integer(ttl, "the time to live", 0, GREATEST_TIME_MS))

    def unset_ttl(self, path: Token) -> sql.UnsetTtl:
        return sql.UnsetTtl(str(path))

    # ---- SHOW and COUNT

    def show_storage_groups(self) -> sql.ShowStorageGroups:
        return sql.ShowStorageGroups()

    def show_timeseries(self, pattern: Token | None) -> sql.ShowTimeseries:
        return sql.ShowTimeseries(str(pattern) if pattern else None)

    def show_devices(self, pattern: Token | None) -> sql.ShowDevices:
        return sql.ShowDevices(str(pattern) if pattern else None)

    def show_child_paths(self, path: Token | None) -> sql.ShowChildPaths:
        return sql.ShowChildPaths(str(path) if path else None)

    def show_version(self) -> sql.ShowVersion:
        return sql.ShowVersion()

    def show_flush_task_info(self) -> sql.ShowFlushTaskInfo:
        return sql.ShowFlushTaskInfo()

    def show_dynamic_parameter(self) -> sql.ShowDynamicParameter:
        return sql.ShowDynamicParameter()

    def show_ttl(self, storage_groups: tuple[str, ...]) -> sql.ShowTtl:
        return sql.ShowTtl(storage_groups)

    def show_all_ttl(self) -> sql.ShowTtl:
        return sql.ShowTtl()

    def count_timeseries(self, pattern: Token, level: Token | None) -> sql.CountTimeseries:
        return sql.CountTimeseries(str(pattern), integer(level, "LEVEL", 0, GREATEST_INT32) if level else None)

    def count_nodes(self, pattern: Token, level: Token) -> sql.CountNodes:
        return sql.CountNodes(str(pattern), integer(level, "LEVEL", 0, GREATEST_INT32))

    # ---- users, roles, privileges

    def create_user(self, user: Token, password: Token) -> sql.CreateUser:
        return sql.CreateUser(str(user), password[1:-1])

    def drop_user(self, user: Token) -> sql.DropUser:
        return sql.DropUser(str(user))

    def alter_user(self, user: Token, password: Token) -> sql.AlterUser:
        return sql.AlterUser(str(user), password[1:-1])

    def create_role(self, role: Token) -> sql.CreateRole:
        return sql.CreateRole(str(role))

    def drop_role(self, role: Token) -> sql.DropRole:
        return sql.DropRole(str(role))

    def grant_privileges(
        self, grantee: tuple[sql.Grantee, str], privileges: tuple[str, ...], path: Token
    ) -> sql.GrantPrivileges:
        return sql.GrantPrivileges(*grantee, privileges, str(path))

    def revoke_privileges(
        self, grantee: tuple[sql.Grantee, str], privileges: tuple[str, ...], path: Token
    ) -> sql.RevokePrivileges:
        return sql.RevokePrivileges(*grantee, privileges, str(path))

    def grant_role(self, role: Token, user: Token) -> sql.GrantRole:
        return sql.GrantRole(str(role), str(user))

    def revoke_role(self, role: Token, user: Token) -> sql.RevokeRole:
        return sql.RevokeRole(str(role), str(user))

    def grant_watermark(self, users: tuple[str, ...]) -> sql.SetWatermark:
        return sql.SetWatermark(users, is_granted=True)

    def revoke_watermark(self, users: tuple[str, ...]) -> sql.SetWatermark:
        return sql.SetWatermark(users, is_granted=False)

    def list_users(self) -> sql.ListUsers:
        return sql.ListUsers()

    def list_roles(self) -> sql.ListRoles:
        return sql.ListRoles()

    def list_privileges(self, grantee: tuple[sql.Grantee, str], path: Token) -> sql.ListPrivileges:
        return sql.ListPrivileges(*grantee, str(path))

    def list_user_privileges(self, user: Token) -> sql.ListPrivileges:
        return sql.ListPrivileges(sql.Grantee.USER, str(user))

    def list_role_privileges(self, role: Token) -> sql.ListPrivileges:
        return sql.ListPrivileges(sql.Grantee.ROLE, str(role))

    def list_roles_of_user(self, user: Token) -> sql.ListRolesOfUser:
        return sql.ListRolesOfUser(str(user))

    def list_users_of_role(self, role: Token) -> sql.ListUsersOfRole:
        return sql.ListUsersOfRole(str(role))

    def grantee(self, kind: Token, name: Token) -> tuple[sql.Grantee, str]:
        return sql.Grantee[kind.type], str(name)

    def privileges(self, *names: Token) -> tuple[str, ...]:
        return tuple([name[1:-1].upper() for name in texts_of(names)])

    def users(self, *names: Token) -> tuple[str, ...]:
        return texts_of(names)

    # ---- administration

    def set_consistency_level(self, level: Token) -> sql.SetConsistencyLevel:
        try:
            return sql.SetConsistencyLevel(sql.ConsistencyLevel(level.lower()))
        except ValueError:
            problem = f"unexpected {shown(level)}, expected STRONG, MID or WEAK"
            expected = tuple(known.name for known in sql.ConsistencyLevel)
            raise Refusal(problem, place(level), str(level), expected=expected) from None

    def flush(self, patterns: tuple[str, ...] | None, sequence: Token | None) -> sql.Flush:
        if sequence and sequence.lower() not in ("true", "false"):
            raise Refusal(f"unexpected {shown(sequence)}, expected true or false", place(sequence), str(sequence))
        return sql.Flush(patterns or (), sequence.lower() == "true" if sequence else None)

    def merge(self) -> sql.Merge:
        return sql.Merge()

    def full_merge(self) -> sql.Merge:
        return sql.Merge(full=True)

    def load_configuration(self) -> sql.LoadConfiguration:
        return sql.LoadConfiguration()

    def load_file(self, *arguments: Token | None) -> sql.FileCommand:
        return sql.FileCommand(sql.FileVerb.LOAD, tuple([str(word) for word in arguments if word]))

    def remove_file(self, file: Token) -> sql.FileCommand:
        return sql.FileCommand(sql.FileVerb.REMOVE, (str(file),))

    def move_file(self, file: Token, folder: Token) -> sql.FileCommand:
        return sql.FileCommand(sql.FileVerb.MOVE, (str(file), str(folder)))

    def labelling(self, *words: Token) -> sql.Labelling:
        return sql.Labelling(tuple([word.type if _is_keyword(word) else str(word) for word in words]))

    def unsupported(self, *parts: object) -> sql.Statement:
        words = [part for part in parts[:_SPEAKING_WORDS] if isinstance(part, Token) and _is_keyword(part)]
        name = " ".join(word.type for word in words)
        raise Refusal(f"{name} is not supported", place(words[0]), str(words[0]))

    def assignment(self, *_parts: object) -> None:
        """Of UPDATE, which is refused as a whole."""

    def _compression(self, constant: Constant) -> Compression:
        try:
            return Compression[constant.literal.text.upper()]
        except KeyError:
            known = ", ".join(Compression.__members__)
            problem = f"{shown(constant.literal.text)} is no compressor; there are {known}"
            raise Refusal(problem, place(constant.token), constant.literal.text, is_tree=True) from None


def _is_keyword(token: Token) -> bool:
    return keyword_of(token) == token.type and token.type not in CONTEXTUAL
