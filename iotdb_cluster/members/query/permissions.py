"""What the user of a session may do (interface page "Users and roles"); the account of the settings may do all."""

from collections.abc import Iterable
from typing import assert_never

from iotdb_cluster.errors import RequestError, StatusCode
from iotdb_cluster.members.client.sessions import Session
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.sql import statements as sql
from iotdb_cluster.types.paths import ROOT

SET_STORAGE_GROUP = "SET_STORAGE_GROUP"
CREATE_TIMESERIES = "CREATE_TIMESERIES"
DELETE_TIMESERIES = "DELETE_TIMESERIES"
READ_TIMESERIES = "READ_TIMESERIES"
INSERT_TIMESERIES = "INSERT_TIMESERIES"

Account = (
    sql.CreateUser | sql.DropUser | sql.AlterUser | sql.CreateRole | sql.DropRole | sql.GrantPrivileges
    | sql.RevokePrivileges | sql.GrantRole | sql.RevokeRole
)  # fmt: skip
"""Statements that change users and roles."""

AccountList = sql.ListUsers | sql.ListRoles | sql.ListPrivileges | sql.ListRolesOfUser | sql.ListUsersOfRole
"""Queries about users and roles."""


class NotPermitted(RequestError):
    """The user of the session lacks a privilege."""

    code = StatusCode.NO_PERMISSION_ERROR


class Permissions:
    """Asks for one session; the privileges are those that the meta log has told this node."""

    def __init__(self, node: NodeView, session: Session) -> None:
        self._node = node
        self._user = session.user

    @property
    def is_unlimited(self) -> bool:
        """True for the account of the settings."""
        return self._user == self._node.context.settings.username

    def require(self, privilege: str, paths: Iterable[str]) -> None:
        """Raise `NotPermitted` unless the user may do this at every one of the paths, or patterns."""
        if self.is_unlimited:
            return
        accounts = self._node.state.accounts
        for path in paths:
            if not accounts.allows(self._user, privilege, path):
                raise NotPermitted(f"user {self._user} lacks {privilege} on {path}")

    def require_all(self) -> None:
        """Raise `NotPermitted` unless the user is the account of the settings."""
        if not self.is_unlimited:
            raise NotPermitted(f"user {self._user} may not do this: only {self._node.context.settings.username} may")

    def check(self, statement: sql.Statement) -> None:
        """Raise `NotPermitted` for a statement that changes something the user may not change."""
        match statement:
            case sql.Insert(device):
                self.require(INSERT_TIMESERIES, [device])
            case sql.DeleteData(patterns) | sql.DeleteTimeseries(patterns):
                self.require(DELETE_TIMESERIES, patterns)
            case sql.SetStorageGroup(path) | sql.SetTtl(path) | sql.UnsetTtl(path):
                self.require(SET_STORAGE_GROUP, [path])
            case sql.DeleteStorageGroups(storage_groups):
                self.require(SET_STORAGE_GROUP, storage_groups)
            case sql.CreateTimeseries(schema):
                self.require(CREATE_TIMESERIES, [schema.path])
            case sql.Flush() | sql.Merge():
                self.require_all()
            case _ if isinstance(statement, Account):
                self._check_account(statement)

    def _check_account(self, statement: Account) -> None:
        if isinstance(statement, sql.AlterUser) and statement.user == self._user:
            return
        self.require(*_needed(statement))

    def check_list(self, statement: sql.Statement) -> None:
        """Raise `NotPermitted` for a LIST of what does not concern the user itself."""
        match statement:
            case sql.ListPrivileges(sql.Grantee.USER, name) | sql.ListRolesOfUser(name) if name == self._user:
                return
            case sql.ListUsers() | sql.ListPrivileges(sql.Grantee.USER) | sql.ListUsersOfRole():
                self.require("LIST_USER", [ROOT])
            case sql.ListRoles() | sql.ListPrivileges(sql.Grantee.ROLE) | sql.ListRolesOfUser():
                self.require("LIST_ROLE", [ROOT])


def _needed(statement: Account) -> tuple[str, list[str]]:
    match statement:
        case sql.CreateUser():
            return "CREATE_USER", [ROOT]
        case sql.DropUser():
            return "DELETE_USER", [ROOT]
        case sql.AlterUser():
            return "MODIFY_PASSWORD", [ROOT]
        case sql.CreateRole():
            return "CREATE_ROLE", [ROOT]
        case sql.DropRole():
            return "DELETE_ROLE", [ROOT]
        case sql.GrantPrivileges(grantee, path=path):
            return f"GRANT_{grantee.name}_PRIVILEGE", [path]
        case sql.RevokePrivileges(grantee, path=path):
            return f"REVOKE_{grantee.name}_PRIVILEGE", [path]
        case sql.GrantRole():
            return "GRANT_USER_ROLE", [ROOT]
        case sql.RevokeRole():
            return "REVOKE_USER_ROLE", [ROOT]
        case _:
            assert_never(statement)
