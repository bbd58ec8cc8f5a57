# ruff: noqa  (kept as they were searched)
"""Model A: one slot that moves between groups (DESIGN 5.3 to 5.6).

Every log is the list of its committed entries that have an effect. Whoever proposes may be any member with any applied
prefix of its own log and any applied prefix of the meta log, at any time: this covers leader changes, lagging leaders,
late and repeated entries at once (it allows more than Raft does, so what holds here holds there).

State: (meta, logs, expected, ops, read, dead)
  meta: tuple of ('I', k, src, dst) | ('F', k) | ('A', k) | ('E', k, group) | ('C', group);  move ids count from 1
  logs: for each group a tuple of entries; ('w', op) | (step, k[, content]) | ('close',)
  expected: what every acknowledged write and delete together leave behind (bits are points)
"""

import sys
from functools import lru_cache

from tests.models.explore import explore

OPS = {1: lambda c: c | 1, 2: lambda c: c & ~1, 3: lambda c: c | 2, 4: lambda c: c | 4}
RANK = {"init": 0, "fence": 1, "install": 1, "unfence": 2, "release": 2, "open": 2, "discard": 2}
SERVING = ("init", "unfence", "open")

DEFAULT = dict(
    groups=2,
    moves=2,
    ops=3,
    reads=True,
    closes=False,
    dead=None,
    step_memory=True,  # an entry that is not above the slot's last (move, step) does nothing
    judged_at_apply=True,  # else: a write that was accepted at proposal takes effect behind the fence
    read_index=True,  # a fenced slot is read only after ReadIndex on the meta group (else: any applied meta)
    copy_after_fence=True,  # the rest comes from a member that has applied the fence
    whole_truth=True,  # the manifest at the fence replaces what was copied before (else: union)
    exclusive=True,  # the first of flip and abort stands
    snapshot_carries=True,  # a snapshot carries the slot states
    report_applied=True,  # flip is reported only after install is applied (else: when proposed)
    decided_first=True,  # unfence, open, release, discard only after the decision in the applied meta log
    next_after="decided",  # when may move k+1 begin: "decided" | "ended" | "any"
    remember="always",  # how long meta keeps a move: "always" | "both_ends" | "decision"
    barrier=True,  # unfence/discard are entered for an aborted move even if it never fenced/installed
    close_judged=True,  # close does nothing while the group holds a slot (judged at apply)
    unknown_refuses=True,  # a fenced slot is read only if this very move stands undecided or aborted (else: "no flip" seen)
    by_owner=False,  # a leader derives the last step from who owns the slot instead of from this move's decision
)


class Model:
    def __init__(self, **options):
        self.o = dict(DEFAULT)
        self.o.update(options)
        for key, value in self.o.items():
            setattr(self, key, value)
        self.group_state = lru_cache(None)(self.group_state)
        self.meta_state = lru_cache(None)(self.meta_state)
        self.proposals = lru_cache(None)(self.proposals)

    def initial(self):
        first = (("init", 0, 0),)
        return ((), (first,) + ((),) * (self.groups - 1), 0, 0, None, False)

    # one group's state after a prefix of its log: (content or None, move, step, closed)
    def group_state(self, log):
        content, move, step, closed = None, 0, "none", False
        for entry in log:
            kind = entry[0]
            if kind == "init":
                content, step = 0, "init"
            elif kind == "w":
                content = OPS[entry[1]](content if content is not None else 0)
            elif kind == "close":
                content, closed = None, True
            else:
                move, step = entry[1], kind
                if kind == "install":
                    content = entry[2]
                elif kind in ("release", "discard"):
                    content = None
        return content, move, step, closed

    def effective(self, log, entry):
        """Whether `entry` has an effect at the end of `log`."""
        content, move, step, closed = self.group_state(log)
        if closed:
            return False
        if entry[0] == "close":
            return content is None if self.close_judged else True
        if not self.step_memory:
            return (entry[0], entry[1]) != (step, move)
        return (entry[1], RANK[entry[0]]) > (move, RANK.get(step, 0))

    def serving(self, log):
        content, _, step, closed = self.group_state(log)
        return content is not None and step in SERVING and not closed

    # what the meta log says after a prefix: owner, {k: [src, dst, decision, ends]}, newest move, closed groups
    def meta_state(self, meta):
        owner, moves, newest, closed = 0, {}, 0, set()
        for entry in meta:
            if entry[0] == "I":
                newest = entry[1]
                moves[newest] = [entry[2], entry[3], None, frozenset()]
            elif entry[0] == "C":
                closed.add(entry[1])
            elif entry[1] in moves:
                row = moves[entry[1]]
                if entry[0] == "F":
                    owner, row[2] = row[1], "F"
                elif entry[0] == "A":
                    row[2] = "A"
                    if not self.exclusive and owner == row[1]:
                        owner = row[0]
                else:
                    row[3] = row[3] | {entry[2]}
        kept = {}
        for k, (src, dst, decision, ends) in moves.items():
            if self.remember == "both_ends" and {src, dst} <= ends:
                continue
            if self.remember == "decision" and decision and k < newest:
                continue  # only the newest move of a slot is kept
            kept[k] = (src, dst, decision, ends)
        return owner, kept, newest, frozenset(closed)

    def proposals(self, meta, logs, fresh):
        """Everything that some member may propose, by any pair of applied prefixes (or only by the newest)."""
        out = set()
        metas = [meta] if fresh else [meta[:i] for i in range(len(meta) + 1)]
        for seen in metas:
            owner, moves, newest, _ = self.meta_state(seen)
            for group, log in enumerate(logs):
                prefixes = [log] if fresh else [log[:i] for i in range(len(log) + 1)]
                for prefix in prefixes:
                    content, move, step, closed = self.group_state(prefix)
                    if closed:
                        out.add(("meta", ("C", group)))
                        continue
                    if self.closes and content is None and step in ("release", "discard"):
                        out.add((group, ("close",)))
                    above = lambda k, rank: (k, rank) > (move, RANK.get(step, 0)) or not self.step_memory
                    for k, (src, dst, decision, ends) in moves.items():
                        if src == group:
                            if decision is None and above(k, 1):
                                out.add((group, ("fence", k)))
                            if (decision == "F" or not self.decided_first) and above(k, 2):
                                if self.decided_first or (move, step) == (k, "fence"):
                                    out.add((group, ("release", k)))
                            if decision == "A" and above(k, 2) and (self.barrier or (move, step) == (k, "fence")):
                                out.add((group, ("unfence", k)))
                        if dst == group:
                            if decision is None and above(k, 1):
                                for found in self.sources(logs[src], k, fresh):
                                    out.add((group, ("install", k, found)))
                                    if not self.report_applied:
                                        out.add(("meta", ("F", k)))
                            if decision == "F" and above(k, 2):
                                out.add((group, ("open", k)))
                            if decision == "A" and above(k, 2) and (self.barrier or (move, step) == (k, "install")):
                                out.add((group, ("discard", k)))
                            if move == k and step == "install" and self.report_applied:
                                out.add(("meta", ("F", k)))
                        if (
                            RANK.get(step, 0) == 2
                            and move == k
                            or move > k
                            or decision == "A"
                            and not self.barrier
                            and move < k
                        ):
                            out.add(("meta", ("E", k, group)))
                    if (
                        self.by_owner
                        and move
                        and RANK[step] == 1
                        and move not in [k for k, v in moves.items() if not v[2]]
                    ):
                        if step == "install":
                            out.add((group, ("open" if owner == group else "discard", move)))
                        else:
                            out.add((group, ("unfence" if owner == group else "release", move)))
                    if not self.decided_first and step == "install":
                        out.add((group, ("open", move)))
        return tuple(sorted(out, key=repr))

    def sources(self, log, k, fresh):
        """Contents that a copy for move k may bring."""
        early, late = {0}, set()
        for i in range(len(log) + 1):
            content, move, step, _ = self.group_state(log[:i])
            if content is None:
                continue
            early.add(content)
            if (move, RANK.get(step, 0)) >= (k, 1):
                if not (fresh and i < len(log)):
                    late.add(content)
        if not self.copy_after_fence:
            if any(e[0] == "fence" and e[1] == k for e in log):
                late |= early
        if not self.whole_truth:
            late = {a | b for a in late for b in early}
        return late

    def meta_effective(self, meta, logs, entry):
        owner, moves, newest, closed = self.meta_state(meta)
        kind = entry[0]
        if kind == "C":
            return entry[1] not in closed
        row = moves.get(entry[1])
        if row is None:
            return False
        if kind in ("F", "A"):
            return row[2] is None or (not self.exclusive and (kind, entry[1]) not in meta)
        return entry[2] not in row[3]

    def intents(self, meta):
        owner, moves, newest, closed = self.meta_state(meta)
        if newest >= self.moves:
            return
        for k, (src, dst, decision, ends) in moves.items():
            if decision is None and self.next_after != "any":
                return
            if self.next_after == "ended" and not {src, dst} <= ends:
                return
        for dst in range(self.groups):
            if dst != owner and dst not in closed:
                yield ("I", newest + 1, owner, dst)

    def steps(self, state):
        meta, logs, expected, ops, read, dead = state
        seen = set()
        for fresh in (True, False):
            mark = "" if fresh else "late "
            for where, entry in self.proposals(meta, logs, fresh):
                if (where, entry) in seen:
                    continue
                seen.add((where, entry))
                if where == "meta":
                    if self.meta_effective(meta, logs, entry):
                        yield f"{mark}meta {entry}", (meta + (entry,), logs, expected, ops, read, dead), None
                elif not (dead and where == self.dead) and self.effective(logs[where], entry):
                    after = logs[:where] + (logs[where] + (entry,),) + logs[where + 1 :]
                    yield f"{mark}G{where + 1} {entry}", (meta, after, expected, ops, read, dead), None
        for k, row in self.meta_state(meta)[1].items():
            entry = ("A", k)
            if self.meta_effective(meta, logs, entry):
                yield f"meta {entry}", (meta + (entry,), logs, expected, ops, read, dead), None
        for entry in self.intents(meta):
            yield f"new meta {entry}", (meta + (entry,), logs, expected, ops, read, dead), None
        if self.dead is not None and not dead:
            yield f"dies G{self.dead + 1}", (meta, logs, expected, ops, read, True), None
        if ops < self.ops:
            op = ops + 1
            for group, log in enumerate(logs):
                if dead and group == self.dead:
                    continue
                taken = self.serving(log)
                if not taken and self.group_state(log)[0] is not None:
                    if not self.judged_at_apply:  # accepted at proposal, in front of the fence
                        taken = any(self.serving(log[:i]) for i in range(len(log)))
                    if not self.snapshot_carries:  # the acting leader lost the fence with a snapshot
                        taken = self.group_state(log)[2] == "fence"
                if taken:
                    after = logs[:group] + (log + (("w", op),),) + logs[group + 1 :]
                    yield (
                        f"op G{group + 1} acknowledges op {op}",
                        (meta, after, OPS[op](expected), op, read, dead),
                        None,
                    )
        if self.reads and read is None:
            for group, log in enumerate(logs):
                if log:
                    yield (
                        f"read begins at G{group + 1}",
                        (meta, logs, expected, ops, (group, len(log), len(meta), ops), dead),
                        None,
                    )
        if read is not None and read != "done":
            group, index, meta_index, began = read
            for i in range(index, len(logs[group]) + 1):
                content, move, step, closed = self.group_state(logs[group][:i])
                if content is None or closed:
                    continue
                serves = step in SERVING
                if step == "fence":
                    low = meta_index if self.read_index else 0
                    unknown = (0, 0, "F" if self.unknown_refuses else None)
                    serves = any(
                        self.meta_state(meta[:m])[1].get(move, unknown)[2] != "F" for m in range(low, len(meta) + 1)
                    )
                if serves:
                    allowed = set()
                    value = 0
                    for op in range(1, began + 1):
                        value = OPS[op](value)
                    for op in range(began, ops + 1):
                        if op > began:
                            value = OPS[op](value)
                        allowed.add(value)
                    fault = None if content in allowed else "strong read is stale"
                    yield f"read at G{group + 1} answers {content}", (meta, logs, expected, ops, "done", dead), fault

    def check(self, state):
        meta, logs, expected, ops, read, dead = state
        serving = [g for g, log in enumerate(logs) if self.serving(log)]
        if len(serving) > 1:
            return "two groups accept writes"
        owner = self.meta_state(meta)[0]
        content, _, _, closed = self.group_state(logs[owner])
        if content is None or closed:
            return "the owner has no content"
        if content != expected:
            return "an acknowledged write or delete is not reflected at the owner"
        return None

    def good(self, state):
        meta, logs, expected, ops, read, dead = state
        owner, moves, _, _ = self.meta_state(meta)
        if dead and owner == self.dead:
            return True  # the slot belongs to a group without a majority: it waits for that
        if not self.serving(logs[owner]):
            return False
        for group, log in enumerate(logs):
            if group != owner and not (dead and group == self.dead):
                if self.group_state(log)[0] is not None:
                    return False
        return all(row[2] for row in moves.values())

    @staticmethod
    def fair(label):
        return label.startswith(("G", "meta "))


def show(result, want=None):
    print(result.line())
    for fault, steps in result.violations.items():
        print("  FAULT:", fault)
        for label, _ in steps:
            print("     ", label)
    if result.stuck is not None:
        print("  STUCK after:")
        for label, _ in result.stuck:
            print("     ", label)
    if not result.violations and result.stuck is None:
        print("  nothing found")
    sys.stdout.flush()


def run(name, limit=600_000, **options):
    model = Model(**options)
    result = explore(name, model.initial(), model.steps, model.check, model.fair, model.good, limit)
    show(result)
    return result


WRITTEN = {
    "as written, 2 groups, 2 moves, 1 op, reads": dict(ops=1),
    "as written, 2 groups, 1 move, 3 ops, reads": dict(moves=1),
    "as written, 2 groups, 2 moves, 3 ops, no reads": dict(reads=False),
    "as written, 3 groups, 2 moves, 1 op, no reads": dict(groups=3, ops=1, reads=False),
    "as written, 2 groups, 3 moves, no ops, no reads": dict(moves=3, ops=0, reads=False),
    "as written, the target group dies": dict(ops=2, dead=1, reads=False),
    "meta forgets ended moves; a read needs this move undecided or aborted": dict(
        next_after="ended", remember="both_ends", ops=1
    ),
    "meta forgets after both ends, with barrier": dict(remember="both_ends", reads=False),
    "as written, groups close, close judged at apply": dict(closes=True, ops=1, reads=False),
}
OPEN = {
    "meta forgets ended moves; a read takes 'no flip' literally": dict(
        remember="both_ends", unknown_refuses=False, ops=1
    ),
    "close not judged at apply (text does not say)": dict(closes=True, close_judged=False, ops=1, reads=False),
    "meta keeps only the newest move (text does not say)": dict(remember="decision", reads=False, groups=3, ops=0),
    "meta forgets after both ends, no barrier": dict(remember="both_ends", barrier=False, reads=False, ops=1),
    "leader derives the step from the owner": dict(by_owner=True, reads=False, ops=1),
    "k+1 while k is undecided (text does not say)": dict(next_after="any", reads=False, ops=1),
}
SEEDED = {
    "no step memory": dict(step_memory=False, reads=False, ops=1),
    "fence judged at proposal": dict(judged_at_apply=False, reads=False),
    "no ReadIndex on meta": dict(read_index=False),
    "copy from a member without the fence": dict(copy_after_fence=False, reads=False),
    "copied files are added to the manifest's": dict(whole_truth=False, reads=False),
    "flip and abort not exclusive": dict(exclusive=False, reads=False, ops=1),
    "snapshot without slot states": dict(snapshot_carries=False, reads=False),
    "flip reported before install is applied": dict(report_applied=False, reads=False, ops=1),
    "open and release before the decision": dict(decided_first=False, reads=False, ops=1),
}

if __name__ == "__main__":
    which = sys.argv[1] if len(sys.argv) > 1 else "all"
    for title, cases in (("written", WRITTEN), ("open", OPEN), ("seeded", SEEDED)):
        if which in (title, "all"):
            print("==", title)
            for name, options in cases.items():
                run(name, **options)
