"""Transcripts: what happens to a group, line by line, with what its members then do.

A transcript is a text of commands; the indented lines behind a command are what came of it, written by the run itself.
`python -m tests.raft.transcript FILE...` writes them anew, to be read before they are committed.

    group 1 2 3 + 4       voters, and learners behind the +
    option NAME VALUE     a setting, before `group`
    time-out N            time passes until the election timer of N ends
    beat N                a heartbeat interval passes at N
    write N TEXT...       a client writes at N
    read N                a client wants a strong read at N
    change N 1 2 + 3      an operator wants this membership, at leader N
    hand-over N [TO]      an operator moves the leadership
    bring A B [KIND]      the oldest request (vote, append, heartbeat, now) of A reaches B, and the answer A
    ask A B [KIND]        the request alone; the answer waits
    answer A B [KIND]     the oldest answer that waits for A from B
    lose A B [KIND]       A hears nothing from B
    settle [N...]         everything is delivered among these (or all), the rest fails
    hold N, sync N        the disk of N hangs, and comes back
    crash N..., start N...
    compact N INDEX       N may forget its log up to there
    snapshot A B          A sends B a snapshot of what it has applied
    show [N...]           role, term, log and commit index of each
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from iotdb_cluster.raft.messages import AppendRequest, Heartbeat, TimeoutNow, VoteRequest
from tests.raft.group import SETTINGS, Group, Member, members
from tests.sim import words

FOLDER = Path(__file__).parent / "transcripts"
KINDS = {"vote": VoteRequest, "append": AppendRequest, "heartbeat": Heartbeat, "now": TimeoutNow}


class Transcript:
    """Runs commands and collects what came of each."""

    def __init__(self) -> None:
        self._settings = SETTINGS
        self._group: Group | None = None
        self._said: list[str] = []

    def run(self, text: str) -> str:
        """The transcript with its results as they are now."""
        lines: list[str] = []
        for line in text.splitlines():
            if line.startswith("    "):
                continue
            lines.append(line)
            if line and not line.startswith("#"):
                self._said = []
                words_of_line = line.split()
                act: Callable[..., None] = getattr(self, "_do_" + words_of_line[0].replace("-", "_"))
                act(*words_of_line[1:])
                lines += [f"    {said}" for said in self._said]
        return "\n".join(lines) + "\n"

    @property
    def group(self) -> Group:
        assert self._group is not None, "the first command is `group`"
        return self._group

    def _note(self, what: str, member: Member, value: Any) -> None:
        said = f"applies {words.of_entries(value)}" if what == "applies" else words.of_effect(value)
        self._said.append(f"{member.number}: {said}")

    def _kind(self, names: tuple[str, ...]) -> type | None:
        return KINDS[names[0]] if names else None

    # ---- commands ----

    def _do_option(self, name: str, value: str) -> None:
        self._settings = replace(self._settings, **{name: int(value)})  # type: ignore[arg-type]

    def _do_group(self, *names: str) -> None:
        voters, learners = _halves(names)
        self._group = Group(*voters, learners=learners, settings=self._settings)
        self._group.note = self._note

    def _do_time_out(self, number: str) -> None:
        self.group.now_ms += self.group.settings.election_timeout_max_ms
        self.group.time_out(int(number))

    def _do_beat(self, number: str) -> None:
        self.group.wait(self.group.settings.heartbeat_interval_ms, int(number))

    def _do_write(self, number: str, *texts: str) -> None:
        self.group.propose(int(number), *texts)

    def _do_read(self, number: str) -> None:
        self.group.read(int(number))

    def _do_change(self, number: str, *names: str) -> None:
        self.group.change(int(number), members(*_halves(names)))

    def _do_hand_over(self, number: str, *to: str) -> None:
        self.group.transfer(int(number), int(to[0]) if to else None)

    def _do_bring(self, source: str, target: str, *kind: str) -> None:
        self._do_ask(source, target, *kind)
        self._do_answer(source, target, *kind)

    def _do_ask(self, source: str, target: str, *kind: str) -> None:
        waiting = self.group.under_way(int(source), int(target), self._kind(kind))
        call = next((call for call in waiting if call.answer is None), None)
        assert call is not None, f"{source} has not asked {target} anything {kind}"
        self._said.append(f"{target} gets {words.of_message(call.message)}")
        self.group.request(call)

    def _do_answer(self, source: str, target: str, *kind: str) -> None:
        calls = self.group.under_way(int(source), int(target), self._kind(kind))
        call = next((call for call in calls if call.answer is not None), None)
        if call is None or call.answer is None:
            self._said.append("no answer yet")
            return
        self._said.append(f"{source} gets {words.of_answer(call.answer)}")
        self.group.answer(call)

    def _do_lose(self, source: str, target: str, *kind: str) -> None:
        self.group.lose(int(source), int(target), self._kind(kind))

    def _do_settle(self, *numbers: str) -> None:
        self.group.settle(*map(int, numbers))

    def _do_hold(self, number: str) -> None:
        self.group.hold_syncs(int(number))

    def _do_sync(self, number: str) -> None:
        self.group.sync(int(number))

    def _do_crash(self, *numbers: str) -> None:
        self.group.crash(*map(int, numbers))

    def _do_start(self, *numbers: str) -> None:
        self.group.start(*map(int, numbers))

    def _do_compact(self, number: str, index: str) -> None:
        self.group.compact(int(number), int(index))

    def _do_snapshot(self, source: str, target: str) -> None:
        self.group.snapshot(int(source), int(target))

    def _do_show(self, *numbers: str) -> None:
        for number in map(int, numbers) if numbers else self.group.members:
            member, raft = self.group.members[number], self.group[number]
            if not member.is_up:
                self._said.append(f"{number}: down")
                continue
            log = raft.log
            shown = words.of_entries(log.entries(log.first_index, log.last_index)) or "nothing"
            begin = words.of_id(log.snapshot)
            self._said.append(
                f"{number}: {raft.role.value} of term {raft.term}, behind {begin}: {shown}; commit {raft.commit_index}"
                f" [{words.of_membership(raft.membership)}]"
            )


def _halves(names: tuple[str, ...]) -> tuple[list[int], list[int]]:
    middle = names.index("+") if "+" in names else len(names)
    return [int(name) for name in names[:middle]], [int(name) for name in names[middle + 1 :]]


def main(paths: list[str]) -> None:
    """Write the results of these transcripts anew."""
    for path in [Path(name) for name in paths] or sorted(FOLDER.glob("*.txt")):
        path.write_text(Transcript().run(path.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
