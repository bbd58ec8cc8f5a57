# ruff: noqa  (kept as they were searched)
"""Model B: votes and membership of one Raft group (DESIGN 3.4, 3.5, 3.12, 4.1 to 4.6).

A campaign with its votes, and an append with its answer, are one step each; any message may be lost, one append may be
kept by the network and delivered late and again; restarts lose what is not durable. A campaign may take any higher term
(terms learned from others). Which nodes are dead is asked of every state: with the dead silent for ever, can the rest elect?

Node: (term, vote, log, commit, acked, match)   match: None, or one number for each node (leader)
Log entry: (term, what)   what: '' | 'x' | name of a membership in CONFIGS
"""

import sys
from itertools import combinations

from tests.models.explore import explore

# name: (list of voter sets that all need a majority, learners)
CONFIGS = {
    "123": ([{0, 1, 2}], set()),
    "123+L4": ([{0, 1, 2}], {3}),
    "1234": ([{0, 1, 2, 3}], set()),
    "12+L3": ([{0, 1}], {2}),
    "12": ([{0, 1}], set()),
    "123>124": ([{0, 1, 2}, {0, 1, 3}], set()),
    "124": ([{0, 1, 3}], set()),
    "124+L3": ([{0, 1, 3}], {2}),
    "1234+L5": ([{0, 1, 2, 3}], {4}),
    "12345": ([{0, 1, 2, 3, 4}], set()),
    "234": ([{1, 2, 3}], set()),
    "123+L4'": ([{0, 1, 2}], {3}),
}

DEFAULT = dict(
    nodes=3,
    start="123",
    script={},
    terms=3,
    length=4,
    late=False,
    acked=False,
    writes=1,
    wipe=None,
    prevote=False,
    learner_votes=True,  # else: a learner refuses votes
    eleven="rule",  # "rule": as 3.5; "unknown": every sender outside the own membership; "none"
    learner_campaigns="never",  # "never" as 4.1; "uncommitted": may while its membership is not known to be committed
    learner_gets="all",  # "committed": a learner is sent committed entries only
    promise=False,
    live=True,
    loose=False,
    matched="rule",  # "rule" as 3.4; "last": own last index; "run": only what was acknowledged since the start
    own_term_first=True,  # 4.2: the next change only after an entry of the own term is committed
    one_at_a_time=True,  # 4.2: ... and only after the previous change is committed
    mark="vote",  # 3.12 as written: a left node keeps term and vote; "log": also its last index and term, for votes; "campaign": ... and for its own campaigns; "none"
    seven=None,  # meta log lengths: -7 as a hard rule
    count_own_term=True,  # 3.2: only own-term entries are committed by counting
    both=True,  # joint needs both majorities
    lead=None,  # only these campaign (keeps a hunt small)
    logs=None,  # begin in the middle: committed length, logs, who led term 1, who heard nothing of it
)


class Model:
    def __init__(self, **options):
        self.o = dict(DEFAULT)
        self.o.update(options)
        for key, value in self.o.items():
            if key != "matched":
                setattr(self, key, value)

    def initial(self):
        if self.logs:
            committed, logs, leader, cut_off = self.logs
            nodes, full = [], max(logs, key=len)
            for i, log in enumerate(logs):
                vote = (0, None) if i in cut_off else (1, leader)
                nodes.append(vote + (log, min(committed, len(log)), 0, None, None))
            return tuple(nodes), tuple((e, e[0]) for e in full[:committed]), ((1, leader),), None, 0
        voters = set().union(*CONFIGS[self.start][0]) | CONFIGS[self.start][1]
        nodes = []
        for i in range(self.nodes):
            log = ((0, self.start),) if i in voters else ()
            nodes.append((0, None, log, len(log), 0, None, None))
        return tuple(nodes), (), (), None, 0

    def config(self, log, upto=None):
        """(name, index) of the newest membership in a log."""
        for i in range(len(log) if upto is None else upto, 0, -1):
            if log[i - 1][1] in CONFIGS:
                return log[i - 1][1], i
        return None, 0

    def voters(self, name):
        return set().union(*CONFIGS[name][0]) if name else set()

    def quorum(self, name, who):
        return all(2 * len(s & who) > len(s) for s in (CONFIGS[name][0] if self.both else CONFIGS[name][0][-1:]))

    @staticmethod
    def last(log, mark=None):
        own = (log[-1][0], len(log)) if log else (0, 0)
        return own

    def may_campaign(self, i, node):
        name, index = self.config(node[2])
        if name is None:
            return False
        if self.mark == "campaign" and node[6] is not None and self.last(node[2]) < node[6]:
            return False
        if i in self.voters(name):
            return True
        if self.learner_campaigns == "uncommitted" and index > node[3]:
            return True
        return False

    def vote(self, i, cand_log, term, j, voter, dead_answer=False):
        """(granted, voter after) by rule 3.5. -8 is the same as a lost message here."""
        vterm, vvote, vlog, vcommit, vacked, vmatch, vmark = voter
        if term < vterm:
            return False, voter
        name, _ = self.config(vlog)
        if not self.learner_votes and name is not None and j not in self.voters(name):
            return False, voter
        mine = self.last(vlog)
        if vmark is not None and self.mark in ("log", "campaign"):
            mine = max(mine, vmark)
        theirs = self.last(cand_log)
        if self.eleven != "none" and name is not None:
            known = self.voters(name) | CONFIGS[name][1]
            base, _ = self.config(vlog, vcommit)
            both = known | (self.voters(base) | CONFIGS[base][1] if base else set())
            if self.eleven == "unknown" and i not in known:
                return False, voter
            if self.eleven == "rule" and i not in both and theirs <= mine:
                return False, voter
        if term > vterm:
            vterm, vvote, vacked, vmatch = term, None, 0, None
        granted = theirs >= mine and vvote in (None, i) and vmatch is None
        if self.seven and self.seven[i] < self.seven[j]:
            granted = False
        if granted:
            vvote = i
        return granted, (vterm, vvote, vlog, vcommit, vacked, vmatch, vmark)

    def matched(self, node, term):
        log = node[2]
        if self.matched_rule == "last":
            return len(log)
        own = len(log) if log and log[-1][0] == term else 0
        return max(node[4], own if self.matched_rule == "rule" else 0)

    @property
    def matched_rule(self):
        return self.o["matched"]

    def deliver(self, j, node, term, entries):
        """An append (a prefix of the leader's log) at node j; (acknowledged, node after)."""
        nterm, vote, log, commit, acked, match, mark = node
        if term < nterm:
            return False, node, None
        if term > nterm:
            nterm, vote, acked, match = term, None, 0, None
        if match is not None:
            return False, node, None
        fault = None
        if log[: len(entries)] != entries:
            same = 0
            while same < min(len(log), len(entries)) and log[same] == entries[same]:
                same += 1
            if same < len(log) and same < commit:
                fault = "a follower would truncate below its commit index"
            log = entries
        if self.acked:
            acked = max(acked, len(entries))
        return True, (nterm, vote, log, commit, acked, match, mark), fault

    def commit_ghost(self, ghost, prefix, term):
        """The committed log as all of them together know it: ((entry, term of the committer), ...)."""
        for i, entry in enumerate(prefix):
            if i < len(ghost):
                if ghost[i][0] != entry:
                    return ghost, "two different entries are committed at one index"
            else:
                ghost = ghost + ((entry, term),)
        return ghost, None

    def steps(self, state):
        nodes, ghost, leaders, late, used = state

        def put(changes, ghost=ghost, leaders=leaders, late=late, used=used):
            new = list(nodes)
            for k, v in changes.items():
                new[k] = v
            return tuple(new), ghost, leaders, late, used

        for i, node in enumerate(nodes):
            term, vote, log, commit, acked, match, mark = node
            name, index = self.config(log)
            # restart
            again = (term, vote, log, min(1, len(log)), 0, None, mark)
            if again != node:
                yield f"{i + 1} restarts", put({i: again}), None
            # campaign
            if (
                match is None
                and self.may_campaign(i, node)
                and len(log) < self.length
                and (self.lead is None or i in self.lead)
            ):
                others = sorted(self.voters(name) - {i})
                for t in range(term + 1, self.terms + 1):
                    for size in range(len(others) + 1):
                        for asked in combinations(others, size):
                            changes, granted = {}, {i} & self.voters(name)
                            for j in asked:
                                if not self.has_replica(j, nodes):
                                    continue
                                ok, after = self.vote(i, log, t, j, nodes[j])
                                if ok:
                                    granted = granted | {j}
                                if after != nodes[j]:
                                    changes[j] = after
                            if len(changes) < len(asked):
                                continue  # the same as asking fewer
                            fault = self.removed_changes(i, nodes, changes, ghost)
                            if not self.quorum(name, granted):
                                if self.prevote:
                                    continue
                                changes[i] = (t, i, log, commit, 0, None, mark)
                                yield (
                                    f"{i + 1} campaigns in term {t}, asks {[j + 1 for j in asked]}",
                                    put(changes),
                                    fault,
                                )
                                continue
                            leading = tuple((len(log) + 1 if k == i else 0) for k in range(self.nodes))
                            changes[i] = (t, i, log + ((t, ""),), commit, 0, leading, mark)
                            won = dict(leaders)
                            if won.get(t, i) != i:
                                fault = "two leaders in one term"
                            won[t] = i
                            for k, (entry, when) in enumerate(ghost):
                                if when < t and (k >= len(log) or log[k] != entry):
                                    fault = fault or "a leader lacks a committed entry"
                            yield (
                                f"{i + 1} is elected in term {t} by {sorted(g + 1 for g in granted)}",
                                put(changes, leaders=tuple(sorted(won.items()))),
                                fault,
                            )
            if match is not None:
                targets = (self.voters(name) | CONFIGS[name][1]) - {i}
                for j in targets:
                    # append, any length
                    for n in range(1, len(log) + 1):
                        if self.learner_gets == "committed" and j not in self.voters(name) and n > commit:
                            break
                        ok, after, fault = self.deliver(j, nodes[j], term, log[:n])
                        if not ok:
                            break
                        new = match[:j] + (max(match[j], n),) + match[j + 1 :]
                        if after != nodes[j] or new != match:
                            yield (
                                f"{i + 1} appends up to {n} at {j + 1}",
                                put({j: after, i: (term, vote, log, commit, acked, new, mark)}),
                                fault,
                            )
                            if after != nodes[j]:
                                yield f"{i + 1} appends up to {n} at {j + 1}, answer lost", put({j: after}), fault
                    # heartbeat
                    other = nodes[j]
                    if other[0] <= term and other[5] is None or other[0] < term:
                        base = other if other[0] == term else (term, None) + other[2:4] + (0, None, other[6])
                        new_commit = max(base[3], min(commit, self.matched_index(base, term)))
                        after = base[:3] + (new_commit,) + base[4:]
                        if after != other:
                            new_ghost, fault = self.commit_ghost(ghost, after[2][:new_commit], term)
                            yield (
                                f"{i + 1} heartbeats {j + 1}, who commits {new_commit}",
                                put({j: after}, ghost=new_ghost),
                                fault,
                            )
                    if self.late and late is None:
                        for n in range(2, len(log) + 1):
                            yield (
                                f"the network keeps an append of {i + 1} up to {n}",
                                put({}, late=(term, log[:n])),
                                None,
                            )
                # commit
                for n in range(commit + 1, len(log) + 1):
                    if log[n - 1][0] != term and self.count_own_term:
                        continue
                    have = {k for k in range(self.nodes) if match[k] >= n}
                    if not self.quorum(name, have):
                        continue
                    new_ghost, fault = self.commit_ghost(ghost, log[:n], term)
                    yield (
                        f"{i + 1} commits {n}",
                        put({i: (term, vote, log, n, acked, match, mark)}, ghost=new_ghost),
                        fault,
                    )
                # propose
                if len(log) < self.length:
                    if used < self.writes:
                        grown = match[:i] + (len(log) + 1,) + match[i + 1 :]
                        yield (
                            f"{i + 1} writes",
                            put({i: (term, vote, log + ((term, "x"),), commit, acked, grown, mark)}, used=used + 1),
                            None,
                        )
                    own = any(log[k][0] == term for k in range(commit))
                    if (not self.own_term_first or own) and (not self.one_at_a_time or index <= commit):
                        for target in self.script.get(name, ()):
                            if not self.caught_up(target, name, nodes, log):
                                continue
                            grown = match[:i] + (len(log) + 1,) + match[i + 1 :]
                            yield (
                                f"{i + 1} enters membership {target}",
                                put({i: (term, vote, log + ((term, target),), commit, acked, grown, mark)}),
                                None,
                            )
            # a node that left drops its replica and keeps a mark
            if self.wipe == i and mark is None and log:
                known = self.config(tuple(e for e, _ in ghost))[0]
                if (
                    known is not None
                    and i not in self.voters(known) | CONFIGS[known][1]
                    and not any(
                        i in self.voters(self.config(n[2][:])[0])
                        for k, n in enumerate(nodes)
                        if k != i and n[5] is not None
                    )
                ):
                    kept = (term, vote) if self.mark != "none" else (0, None)
                    yield (
                        f"{i + 1} has left: drops its replica",
                        put({i: kept + ((), 0, 0, None, self.last(log))}),
                        None,
                    )
        if late is not None:
            for j, node in enumerate(nodes):
                if node[2]:
                    ok, after, fault = self.deliver(j, node, late[0], late[1])
                    if ok and after != node:
                        yield f"the kept append reaches {j + 1}", put({j: after}), fault

    def matched_index(self, node, term):
        return min(len(node[2]), self.matched(node, term))

    def has_replica(self, j, nodes):
        """Whether node j has a replica that answers; one that left has it again once a membership names it anew."""
        if nodes[j][2]:
            return True
        for node in nodes:
            named = nodes[j][6] is None
            for _, what in node[2]:
                if what in CONFIGS:
                    inside = j in self.voters(what) | CONFIGS[what][1]
                    if inside and named:
                        return True
                    named = named or not inside
        return False

    def caught_up(self, target, name, nodes, log):
        new = self.voters(target) - self.voters(name)
        return all(log[: max(1, len(log) - 1)] == nodes[j][2][: max(1, len(log) - 1)] for j in new)

    def removed_changes(self, i, nodes, changes, ghost):
        """4.4: a node whose removal is committed changes no term of a node whose log holds the removal."""
        if not self.o.get("promise"):
            return None
        entries = tuple(e for e, _ in ghost)
        name, index = self.config(entries)
        if name is None or i in self.voters(name) | CONFIGS[name][1]:
            return None
        for j, after in changes.items():
            if nodes[j][2][:index] == entries[:index] and after[0] != nodes[j][0]:
                return "a removed node changes the term of a node whose log holds the removal"
        return None

    def led(self, nodes, alive):
        """A living leader that a majority follows needs no election."""
        for i in alive:
            if nodes[i][5] is not None:
                follow = {j for j in alive if nodes[j][0] <= nodes[i][0]}
                if self.quorum(self.config(nodes[i][2])[0], follow):
                    return True
        return False

    # ---- can the living elect a leader that commits? ----
    def electable(self, state, dead):
        nodes = state[0]
        for i, node in enumerate(nodes):
            if i in dead or not self.may_campaign(i, node):
                continue
            name, _ = self.config(node[2])
            high = max(n[0] for n in nodes) + 1
            granted = {i} & self.voters(name)
            for j in self.voters(name) - {i} - dead:
                if not self.has_replica(j, nodes):
                    continue
                ok, _ = self.vote(i, node[2], high, j, nodes[j])
                if ok:
                    granted.add(j)
            if self.quorum(name, granted):
                return True
        return False

    def wedges(self, state):
        """Sets of dead nodes with which a majority lives, but nobody can be elected."""
        nodes, ghost = state[0], state[1]
        committed = tuple(e for e, _ in ghost) or nodes[0][2][:1]
        base, _ = self.config(committed)
        everyone = set(range(self.nodes))
        for size in range(self.nodes):
            for dead in combinations(range(self.nodes), size):
                dead = set(dead)
                alive = everyone - dead
                if not self.quorum(base, alive):
                    continue
                if self.led(nodes, alive) or self.electable(state, dead):
                    continue
                # strict: also a majority of every membership that a living node's log holds above it
                strict = all(
                    self.quorum(e[1], alive) for k in alive for e in nodes[k][2][len(committed) :] if e[1] in CONFIGS
                ) and all(
                    self.quorum(self.config(nodes[k][2])[0], alive)
                    for k in alive
                    if nodes[k][2] and len(nodes[k][2]) >= len(committed)
                )
                yield dead, strict

    def idle(self, state):
        """A follower that has the leader's whole log and hears its heartbeats, but can't commit what the leader has."""
        for i, node in enumerate(state[0]):
            if node[5] is None:
                continue
            for j, other in enumerate(state[0]):
                if j != i and other[0] == node[0] and node[5][j] == len(node[2]) and other[2] == node[2]:
                    if max(other[3], self.matched_index(other, node[0])) < node[3]:
                        return f"follower {j + 1} never commits what leader {i + 1} has"
        return None

    def check(self, state):
        fault = self.idle(state)
        if fault:
            return "idle group: a follower that has everything never commits it"
        if self.o.get("live", True):
            for dead, strict in self.wedges(state):
                if strict or self.o.get("loose"):
                    kind = "" if strict else " (of the committed membership only)"
                    return f"a majority lives{kind}, but nobody can be elected; dead: {sorted(d + 1 for d in dead)}"
        return None


def run(name, limit=120_000, **options):
    model = Model(**options)
    result = explore(name, model.initial(), model.steps, model.check, limit=limit)
    print(result.line())
    for fault, steps in result.violations.items():
        print("  FAULT:", fault)
        for label, state in steps:
            print("     ", label)
        for k, node in enumerate(steps[-1][1][0]):
            print(
                f"        {k + 1}: term {node[0]}, log {[f'{t}:{w}' if w else str(t) for t, w in node[2]]}, commit {node[3]}"
                + (", leads" if node[5] else "")
            )
    if not result.violations:
        print("  nothing found")
    sys.stdout.flush()
    return result


PROMOTE = dict(nodes=4, start="123+L4", script={"123+L4": ("1234",)}, writes=0, length=3, terms=2)
REMOVE = dict(nodes=4, start="1234", script={"1234": ("123+L4",)}, writes=0, length=3, terms=2)
REPLACE = dict(
    nodes=4, start="123+L4", script={"123+L4": ("123>124",), "123>124": ("124",)}, writes=0, length=4, terms=2
)
# 1, 3, 4 have replaced 3 by 4 in term 1 (elected: 1, by 3; joint entry on 1, 3, 4); 2 was cut off
AFTER = ((0, "123+L4"), (1, ""), (1, "123>124"), (1, "124"))
BACK = dict(
    nodes=4,
    logs=(4, (AFTER, AFTER[:1], AFTER, AFTER), 0, (1,)),
    script={"124": ("124+L3",)},
    writes=0,
    length=6,
    terms=3,
    wipe=2,
    live=False,
)
# 1 was cut off while 4 was added and promoted
MOVED = ((0, "123"), (1, "123+L4"), (1, "1234"))
LAGS = dict(nodes=4, logs=(3, (MOVED[:1], MOVED, MOVED, MOVED), 1, (0,)), writes=0, length=5, terms=3)
PLAIN = dict(nodes=3, start="123", writes=0, length=3, terms=2, acked=True)
LATE = dict(nodes=3, start="123", writes=1, length=3, terms=2, late=True, live=False)
# 4 is removed; 1 has committed that
GONE = ((0, "1234"), (1, ""), (1, "123"))
COUNT = dict(
    nodes=4, logs=(3, (GONE, GONE, GONE, GONE[:2]), 0, ()), writes=0, length=4, terms=2, promise=True, live=False
)
FIGURE8 = dict(nodes=3, start="123", writes=0, length=4, terms=4, lead=(0, 2), live=False)
# 1 has entered "add 5" in term 1; it stands on 1 and 5 only
HALF = ((0, "1234+L5"), (1, ""), (1, "12345"))
TWO = dict(
    nodes=5,
    logs=(1, (HALF, HALF[:1], HALF[:1], HALF[:1], HALF), 0, ()),
    script={"1234+L5": ("234",)},
    writes=0,
    length=4,
    terms=3,
    lead=(0, 1),
    live=False,
    prevote=True,
)

FIXED = dict(learner_campaigns="uncommitted", learner_gets="committed")
WRITTEN = {
    "plain, restarts": PLAIN,
    "plain, a late append": LATE,
    "promote 4": PROMOTE,
    "promote 4, fixed": dict(PROMOTE, **FIXED),
    "remove 4: it becomes a leaving learner": REMOVE,
    "remove 4: it becomes a leaving learner, fixed": dict(REMOVE, **FIXED),
    "replaced, 3 leaves and comes back": BACK,
    "replaced, 3 leaves and comes back, mark judges votes only": dict(BACK, mark="log"),
    "replaced, 3 leaves and comes back, fixed": dict(BACK, mark="campaign"),
    "4.4: a removed node and terms": COUNT,
    "a voter that was cut off": LAGS,
    "old-term entries (3.2)": FIGURE8,
    "two single changes in two terms (4.2)": TWO,
    "replace 3 by 4 (joint)": dict(REPLACE, **FIXED),
}
SEEDED = {
    "a learner refuses votes": dict(PROMOTE, learner_votes=False, **FIXED),
    "-11 for every unknown sender": dict(LAGS, eleven="unknown"),
    "-7 as a hard rule": dict(PLAIN, seven=(1, 2, 3)),
    "matched is the last index": dict(LATE, matched="last", late=False),
    "matched is only what this run acknowledged": dict(PLAIN, matched="run"),
    "no own-term entry before a change": dict(TWO, own_term_first=False),
    "old-term entries committed by counting": dict(FIGURE8, count_own_term=False),
    "joint needs only the new majority": dict(REPLACE, both=False, live=False),
    "a left node forgets term and vote": dict(BACK, mark="none"),
}

if __name__ == "__main__":
    which = sys.argv[1] if len(sys.argv) > 1 else "all"
    for title, cases in (("written", WRITTEN), ("seeded", SEEDED)):
        if which in (title, "all"):
            print("==", title)
            for name, options in cases.items():
                run(name, **options)
        elif which in cases:
            run(which, limit=int(sys.argv[2]) if len(sys.argv) > 2 else 120_000, **cases[which])
