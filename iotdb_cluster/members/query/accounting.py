"""Statements about users, roles and privileges: changes go through the meta log, lists are read from its state."""

from collections.abc import Iterable, Sequence

from iotdb_cluster.errors import RequestError, StatusCode, Unsupported
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.meta.accounts import (
    LEAST_NAME_CHARACTERS,
    PRIVILEGES,
    Account,
    AccountChange,
    AccountRefused,
    Accounts,
    Change,
)
from iotdb_cluster.members.meta.member import plan_of
from iotdb_cluster.members.meta.passwords import hashed
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.listing import listed
from iotdb_cluster.members.query.selecting import Answer
from iotdb_cluster.sql import statements as sql
from iotdb_cluster.types import paths
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import META_GROUP
from iotdb_cluster.types.schema import DataType

SALT_BYTES = 16
TEXT = DataType.TEXT


class NoSuchAccount(RequestError):
    """A list about a user or a role that there is not."""

    code = StatusCode.INTERNAL_SERVER_ERROR


class Accounting:
    """Carries out the statements of one node's clients."""

    def __init__(self, node: NodeView) -> None:
        self._node = node

    async def carry_out(self, statement: sql.Statement, deadline: Deadline) -> None:
        """Make a change; returns when it is applied here, too, or raises why not."""
        change = self._change(statement)
        plan = plan_of(Payload(EntryKind.ACCOUNT, change.encode()))
        (outcome,) = await self._node.router.execute_in(META_GROUP, (plan,), deadline)
        if outcome is not None:
            raise outcome
        if self._node.meta is not None:
            await self._node.meta.catch_up(deadline)

    def answer(self, statement: sql.Statement, accounts: Accounts) -> Answer:
        """The answer to a LIST; raises `NoSuchAccount`, and `Unsupported` for a statement that is none."""
        unlimited = self._node.context.settings.username
        match statement:
            case sql.ListUsers():
                names = sorted({unlimited, *(user.name for user in accounts.users)})
                return _column("LIST_USER", "user", names)
            case sql.ListRoles():
                return _column("LIST_ROLE", "role", [role.name for role in accounts.roles])
            case sql.ListPrivileges(sql.Grantee.USER, name, path):
                rows = [
                    ("" if holder is user else holder.name, line)
                    for user in [self._user(accounts, name)]
                    for holder in accounts.holders(user)
                    for line in _granted(holder, path)
                ]
                return listed("LIST_USER_PRIVILEGE", [("role", TEXT), ("privilege", TEXT)], rows)
            case sql.ListPrivileges(sql.Grantee.ROLE, name, path):
                return _column("LIST_ROLE_PRIVILEGE", "privilege", _granted(_role(accounts, name), path))
            case sql.ListRolesOfUser(name):
                return _column("LIST_USER_ROLES", "role", self._user(accounts, name).roles)
            case sql.ListUsersOfRole(name):
                role = _role(accounts, name)
                users = [user.name for user in accounts.users if role.name in user.roles]
                return _column("LIST_ROLE_USERS", "user", users)
        raise Unsupported(f"{type(statement).__name__} is not supported")

    def _change(self, statement: sql.Statement) -> AccountChange:
        match statement:
            case sql.CreateUser(user, password):
                if user == self._node.context.settings.username:
                    raise AccountRefused(f"user {user} already exists")
                _check_length(user, "a user's name")
                return AccountChange(Change.CREATE_USER, user, secret=self._secret(password))
            case sql.DropUser(user):
                self._check_limited(user)
                return AccountChange(Change.DROP_USER, user)
            case sql.AlterUser(user, password):
                self._check_limited(user)
                return AccountChange(Change.SET_PASSWORD, user, secret=self._secret(password))
            case sql.CreateRole(role):
                _check_length(role, "a role's name")
                return AccountChange(Change.CREATE_ROLE, role)
            case sql.DropRole(role):
                return AccountChange(Change.DROP_ROLE, role)
            case sql.GrantPrivileges(grantee, name, privileges, path):
                is_user = self._checked(grantee, name, path)
                change = Change.GRANT_TO_USER if is_user else Change.GRANT_TO_ROLE
                return AccountChange(change, name, path, privileges=privileges)
            case sql.RevokePrivileges(grantee, name, privileges, path):
                is_user = self._checked(grantee, name, path)
                change = Change.REVOKE_FROM_USER if is_user else Change.REVOKE_FROM_ROLE
                return AccountChange(change, name, path, privileges=privileges)
            case sql.GrantRole(role, user):
                self._check_limited(user)
                return AccountChange(Change.GRANT_ROLE, user, role)
            case sql.RevokeRole(role, user):
                self._check_limited(user)
                return AccountChange(Change.REVOKE_ROLE, user, role)
        raise Unsupported(f"{type(statement).__name__} is not supported")

    def _checked(self, grantee: sql.Grantee, name: str, path: str) -> bool:
        """True for a user; raises for a path that nothing can be granted on."""
        paths.check_pattern(path)
        if grantee is sql.Grantee.USER:
            self._check_limited(name)
        return grantee is sql.Grantee.USER

    def _check_limited(self, user: str) -> None:
        """Raise for the account that stands in the settings of every node, and in no log."""
        if user == self._node.context.settings.username:
            raise AccountRefused(f"{user} is the account of the settings 'username' and 'password': change it there")

    def _user(self, accounts: Accounts, name: str) -> Account:
        if name == self._node.context.settings.username:
            return Account(name, grants=tuple((paths.ROOT, privilege) for privilege in PRIVILEGES))
        user = accounts.user(name)
        if user is None:
            raise NoSuchAccount(f"no such user: {name}")
        return user

    def _secret(self, password: str) -> str:
        _check_length(password, "a password")
        draw = self._node.context.draw
        return hashed(password, bytes([draw(0, 255) for _ in range(SALT_BYTES)]))


def check_privileges(names: Sequence[str]) -> None:
    """Raise 401 for a privilege that there is not."""
    for name in names:
        if name not in PRIVILEGES:
            raise RequestError(f"no such privilege: {name[:60]}", code=StatusCode.SQL_PARSE_ERROR)


def _role(accounts: Accounts, name: str) -> Account:
    role = accounts.role(name)
    if role is None:
        raise NoSuchAccount(f"no such role: {name}")
    return role


def _granted(account: Account, path: str | None) -> list[str]:
    """A line `path : P1 P2` for each path that has grants; with a path those that hold there."""
    found: dict[str, list[str]] = {}
    for above, privilege in account.grants:
        if path is None or paths.is_prefix(above, path):
            found.setdefault(above, []).append(privilege)
    for privileges in found.values():
        privileges.sort(key=PRIVILEGES.index)
    return [f"{above} : {' '.join(privileges)}" for above, privileges in found.items()]


def _column(operation: str, label: str, names: Iterable[str]) -> Answer:
    return listed(operation, [(label, TEXT)], [(name,) for name in names])


def _check_length(text: str, what: str) -> None:
    if len(text) < LEAST_NAME_CHARACTERS:
        raise AccountRefused(f"{what} has at least {LEAST_NAME_CHARACTERS} characters")
