"""Users, roles and privileges as the meta log makes them; passwords are not in it."""

import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members.meta.accounts import AccountChange, AccountRefused, Accounts, Change
from iotdb_cluster.members.meta.passwords import fits, hashed
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.types.entries import Entry, EntryKind
from tests.members.test_meta_state import Story

SALT = bytes(range(16))

ANNA = AccountChange(Change.CREATE_USER, "anna", secret="s")
READER = AccountChange(Change.CREATE_ROLE, "reader")
MAY_READ = AccountChange(Change.GRANT_TO_ROLE, "reader", "root.a", privileges=("READ_TIMESERIES",))
HAS_ROLE = AccountChange(Change.GRANT_ROLE, "anna", "reader")


def after(*changes: AccountChange) -> Accounts:
    accounts = Accounts()
    for change in changes:
        accounts = accounts.after(change)
    return accounts


def test_a_role_allows_what_it_was_granted_at_and_below_a_path() -> None:
    accounts = after(ANNA, READER, MAY_READ, HAS_ROLE)
    assert accounts.allows("anna", "READ_TIMESERIES", "root.a")
    assert accounts.allows("anna", "READ_TIMESERIES", "root.a.d.s")
    assert not accounts.allows("anna", "READ_TIMESERIES", "root.ab.d.s")
    assert not accounts.allows("anna", "READ_TIMESERIES", "root.*.d.s")
    assert not accounts.allows("anna", "INSERT_TIMESERIES", "root.a.d")
    assert not accounts.allows("nobody", "READ_TIMESERIES", "root.a")


def test_a_role_that_is_dropped_allows_nothing_any_more() -> None:
    accounts = after(ANNA, READER, MAY_READ, HAS_ROLE, AccountChange(Change.DROP_ROLE, "reader"), READER)
    assert not accounts.allows("anna", "READ_TIMESERIES", "root.a")


def test_all_stands_for_every_privilege() -> None:
    accounts = after(ANNA, AccountChange(Change.GRANT_TO_USER, "anna", "root.a", privileges=("ALL",)))
    assert accounts.allows("anna", "DELETE_TIMESERIES", "root.a.d.s")


@pytest.mark.parametrize(
    "change",
    [
        ANNA,
        READER,
        HAS_ROLE,
        AccountChange(Change.DROP_USER, "otto"),
        AccountChange(Change.DROP_ROLE, "writer"),
        AccountChange(Change.SET_PASSWORD, "otto", secret="s"),
        AccountChange(Change.GRANT_ROLE, "anna", "writer"),
        AccountChange(Change.REVOKE_ROLE, "anna", "writer"),
        AccountChange(Change.GRANT_TO_USER, "anna", "root", privileges=("NOPE",)),
        AccountChange(Change.REVOKE_FROM_USER, "anna", "root", privileges=("READ_TIMESERIES",)),
    ],
)
def test_a_change_that_contradicts_what_there_is_is_refused(change: AccountChange) -> None:
    accounts = after(ANNA, READER, MAY_READ, HAS_ROLE)
    with pytest.raises(AccountRefused):
        accounts.after(change)


def test_accounts_are_in_the_snapshot_of_the_meta_group() -> None:
    story = Story(1)
    for change in (ANNA, READER, MAY_READ, HAS_ROLE):
        entry = Entry(1, story.state.applied + 1, EntryKind.ACCOUNT, change.encode())
        story.state, outcome = story.state.apply(entry)
        assert outcome is None
    assert after(ANNA, READER, MAY_READ, HAS_ROLE) == story.state.accounts
    assert story.state == MetaState.from_snapshot(story.state.to_snapshot())


def test_a_snapshot_with_what_this_version_does_not_know_is_refused() -> None:
    story = Story(1)
    more = b"\x00\x00\x00\x01x\x00\x00\x00\x00"
    with pytest.raises(MalformedInput, match="does not know"):
        MetaState.from_snapshot(story.state.to_snapshot() + more)


@pytest.mark.parametrize("body", [b"", b"\x00\x00\x00\x63", ANNA.encode() + b"x"])
def test_an_entry_that_cannot_be_read_changes_nothing(body: bytes) -> None:
    story = Story(1)
    after_it, outcome = story.state.apply(Entry(1, story.state.applied + 1, EntryKind.ACCOUNT, body))
    assert outcome is not None
    assert Accounts() == after_it.accounts


def test_a_password_is_known_by_its_hash_alone() -> None:
    secret = hashed("wörd", SALT)
    assert "wörd" not in secret
    assert fits("wörd", secret)
    assert not fits("Wörd", secret)
    assert not fits("wörd", secret.replace("scrypt", "other"))
    assert secret != hashed("wörd", SALT[::-1])
