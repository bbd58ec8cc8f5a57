"""Users, roles and privileges as the meta log has made them: a frozen value, and the changes it takes (pure).

The one account of the settings (`username`) is not in here and may do everything; setting its password by a statement
makes an entry for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

from iotdb_cluster.errors import MalformedInput, RequestError
from iotdb_cluster.members.meta.codec import Reader, Writer
from iotdb_cluster.types.paths import is_prefix

LEAST_NAME_CHARACTERS = 4
"""Of names and passwords (interface page)."""

PRIVILEGES = (
    "SET_STORAGE_GROUP", "READ_TIMESERIES", "INSERT_TIMESERIES", "UPDATE_TIMESERIES", "CREATE_TIMESERIES",
    "DELETE_TIMESERIES", "CREATE_USER", "DELETE_USER", "MODIFY_PASSWORD", "LIST_USER", "GRANT_USER_PRIVILEGE",
    "REVOKE_USER_PRIVILEGE", "GRANT_USER_ROLE", "REVOKE_USER_ROLE", "CREATE_ROLE", "DELETE_ROLE", "LIST_ROLE",
    "GRANT_ROLE_PRIVILEGE", "REVOKE_ROLE_PRIVILEGE", "ALL",
)  # fmt: skip
"""What can be granted, in the order in which it is listed; ALL stands for every one of them."""

Grant = tuple[str, str]
"""A path and a privilege, which holds for everything at and below that path."""


class AccountRefused(RequestError):
    """A change of users or roles that contradicts what there is (400; the original has no code for it)."""


class Change(IntEnum):
    """What an ACCOUNT entry does; names are those of the statements."""

    CREATE_USER = 1
    DROP_USER = 2
    SET_PASSWORD = 3
    CREATE_ROLE = 4
    DROP_ROLE = 5
    GRANT_TO_USER = 6
    GRANT_TO_ROLE = 7
    REVOKE_FROM_USER = 8
    REVOKE_FROM_ROLE = 9
    GRANT_ROLE = 10
    REVOKE_ROLE = 11


@dataclass(frozen=True, slots=True)
class AccountChange:
    """The body of an ACCOUNT entry: `i32 change | name | other | secret | privilege[]`.

    `other` is a role or a path, `secret` what `passwords.hashed` made of a password.
    """

    change: Change
    name: str
    other: str = ""
    secret: str = ""
    privileges: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The body."""
        writer = Writer()
        writer.i32(self.change)
        for text in (self.name, self.other, self.secret):
            writer.text(text)
        writer.each(self.privileges, writer.text)
        return writer.bytes()

    @classmethod
    def decode(cls, body: bytes) -> "AccountChange":
        """The counterpart of `encode`; raises `MalformedInput`."""
        reader = Reader(body)
        number = reader.i32()
        if number not in set(Change):
            raise MalformedInput(f"{number} is no change of users or roles")
        change = cls(Change(number), reader.text(), reader.text(), reader.text(), reader.each(reader.text, 4))
        reader.end()
        return change


@dataclass(frozen=True, slots=True)
class Account:
    """A user, or a role: then without `secret` and `roles`. `grants` and `roles` are sorted."""

    name: str
    secret: str = ""
    grants: tuple[Grant, ...] = ()
    roles: tuple[str, ...] = ()

    def allows(self, privilege: str, path: str) -> bool:
        """True when a grant of its own covers `path`."""
        return any(granted in (privilege, "ALL") and is_prefix(above, path) for above, granted in self.grants)


@dataclass(frozen=True, slots=True)
class Accounts:
    """All users and roles, each sorted by name."""

    users: tuple[Account, ...] = ()
    roles: tuple[Account, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True as long as no change was made, or all were undone."""
        return not self.users and not self.roles

    def user(self, name: str) -> Account | None:
        """The user of this name."""
        return _named(self.users, name)

    def role(self, name: str) -> Account | None:
        """The role of this name."""
        return _named(self.roles, name)

    def holders(self, user: Account) -> list[Account]:
        """The user itself, and each of its roles: whoever has grants that count for it."""
        return [user, *(role for role in self.roles if role.name in user.roles)]

    def allows(self, name: str, privilege: str, path: str) -> bool:
        """True when a user, by itself or by a role, may do this at `path`."""
        user = self.user(name)
        return user is not None and any(holder.allows(privilege, path) for holder in self.holders(user))

    # -- changes -----------------------------------------------------------------------------------------------------

    def after(self, change: AccountChange) -> "Accounts":
        """The accounts behind a change; raises `AccountRefused`, and then nothing is changed."""
        name = change.name
        match change.change:
            case Change.CREATE_USER:
                return replace(self, users=_added(self.users, Account(name, change.secret), "user"))
            case Change.DROP_USER:
                return replace(self, users=_without(self.users, name, "user"))
            case Change.SET_PASSWORD:
                return self._with_user(name, lambda user: replace(user, secret=change.secret))
            case Change.CREATE_ROLE:
                return replace(self, roles=_added(self.roles, Account(name), "role"))
            case Change.DROP_ROLE:
                users = tuple(replace(user, roles=_minus(user.roles, (name,))) for user in self.users)
                return Accounts(users, _without(self.roles, name, "role"))
            case Change.GRANT_TO_USER | Change.REVOKE_FROM_USER:
                return self._with_user(name, lambda user: _regranted(user, change))
            case Change.GRANT_TO_ROLE | Change.REVOKE_FROM_ROLE:
                role = _found(self.roles, name, "role")
                return replace(self, roles=_replaced(self.roles, _regranted(role, change)))
            case Change.GRANT_ROLE:
                _found(self.roles, change.other, "role")
                user = _found(self.users, name, "user")
                if change.other in user.roles:
                    raise AccountRefused(f"user {name} has role {change.other} already")
                return self._with_user(name, lambda user: replace(user, roles=_plus(user.roles, (change.other,))))
            case Change.REVOKE_ROLE:
                user = _found(self.users, name, "user")
                if change.other not in user.roles:
                    raise AccountRefused(f"user {name} does not have role {change.other}")
                return self._with_user(name, lambda user: replace(user, roles=_minus(user.roles, (change.other,))))

    def _with_user(self, name: str, changed: Callable[[Account], Account]) -> "Accounts":
        return replace(self, users=_replaced(self.users, changed(_found(self.users, name, "user"))))

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Everything; equal accounts give equal bytes."""
        writer = Writer()
        writer.each(self.users, lambda user: _write(writer, user))
        writer.each(self.roles, lambda role: _write(writer, role))
        return writer.bytes()

    @classmethod
    def decode(cls, data: bytes) -> "Accounts":
        """The counterpart of `encode`; raises `MalformedInput`."""
        reader = Reader(data)
        accounts = cls(reader.each(lambda: _read(reader), 16), reader.each(lambda: _read(reader), 16))
        reader.end()
        return accounts


def _named(accounts: tuple[Account, ...], name: str) -> Account | None:
    return next((account for account in accounts if account.name == name), None)


def _found(accounts: tuple[Account, ...], name: str, what: str) -> Account:
    account = _named(accounts, name)
    if account is None:
        raise AccountRefused(f"{what} {name} does not exist")
    return account


def _added(accounts: tuple[Account, ...], new: Account, what: str) -> tuple[Account, ...]:
    if _named(accounts, new.name) is not None:
        raise AccountRefused(f"{what} {new.name} already exists")
    return tuple(sorted((*accounts, new), key=lambda account: account.name))


def _without(accounts: tuple[Account, ...], name: str, what: str) -> tuple[Account, ...]:
    gone = _found(accounts, name, what)
    return tuple(account for account in accounts if account is not gone)


def _replaced(accounts: tuple[Account, ...], new: Account) -> tuple[Account, ...]:
    return tuple(new if account.name == new.name else account for account in accounts)


def _regranted(account: Account, change: AccountChange) -> Account:
    unknown = [privilege for privilege in change.privileges if privilege not in PRIVILEGES]
    if unknown:
        raise AccountRefused(f"no such privilege: {unknown[0][:60]}")
    grants = tuple((change.other, privilege) for privilege in change.privileges)
    if change.change in (Change.GRANT_TO_USER, Change.GRANT_TO_ROLE):
        return replace(account, grants=tuple(sorted({*account.grants, *grants})))
    missing = sorted(set(grants) - set(account.grants))
    if missing:
        raise AccountRefused(f"{account.name} does not have {missing[0][1]} on {missing[0][0]}")
    return replace(account, grants=tuple(grant for grant in account.grants if grant not in grants))


def _plus(names: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*names, *more}))


def _minus(names: tuple[str, ...], less: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in less)


def _write(writer: Writer, account: Account) -> None:
    writer.text(account.name)
    writer.text(account.secret)

    def write_grant(grant: Grant) -> None:
        writer.text(grant[0])
        writer.text(grant[1])

    writer.each(account.grants, write_grant)
    writer.each(account.roles, writer.text)


def _read(reader: Reader) -> Account:
    name, secret = reader.text(), reader.text()
    grants = reader.each(lambda: (reader.text(), reader.text()), 8)
    return Account(name, secret, grants, reader.each(reader.text, 4))
