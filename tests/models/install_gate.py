# ruff: noqa  (kept as they were searched)
"""Model A2: the install entry in the log of the new group (DESIGN 5.4): three members, files, leader changes, one lost disk.

Members N, A, B of the new group (a majority is two). Log of each: a tuple of (term, what); what: 'I' install, 'D' discard,
'O' open, '' empty. `files`: who holds the staged files durably. The source serves them until it released or unfenced.
State: (members, term, decision, source, lost)   member: (log, commit, leads, files) or None when lost
"""

from tests.models.explore import explore

DEFAULT = dict(
    stored=True,  # the entry may stand in a log before the files do, only its acknowledgement waits (as written)
    durable_ack=True,  # the acknowledgement waits for the files
    staged_first=False,  # proposed only when a majority holds the files
    snapshot=False,  # who no longer has the files is brought up by a snapshot
    aborted_ack=False,  # after an abort in the applied meta log the entry is acknowledged without files
    shared=False,  # A and B are also in the old group and share the folder: release deletes
    terms=2,
    length=4,
)


class Model:
    def __init__(self, **options):
        for key, value in {**DEFAULT, **options}.items():
            setattr(self, key, value)

    def initial(self):
        return tuple(((), 0, False, False) for _ in range(3)), 0, None, True, False

    def acknowledged(self, member, decision):
        """How long a prefix of its log a member acknowledges."""
        log, _, _, files = member
        if not self.stored:
            return len(log)  # what stands in the log had its files
        for i, (_, what) in enumerate(log):
            if what == "I" and not files and self.durable_ack and not (self.aborted_ack and decision == "A"):
                if any(w in "DO" and w for _, w in log[i : member[1]]):
                    continue  # applied long ago and the files used up
                if i < member[1]:
                    continue
                return i
        return len(log)

    def steps(self, state):
        members, term, decision, source, lost = state

        def put(i, member, **other):
            new = members if i is None else members[:i] + (member,) + members[i + 1 :]
            values = dict(term=term, decision=decision, source=source, lost=lost)
            values.update(other)
            return new, values["term"], values["decision"], values["source"], values["lost"]

        holds = [i for i, m in enumerate(members) if m and m[3]]
        for i, m in enumerate(members):
            if m is None:
                continue
            log, commit, leads, files = m
            name = "NAB"[i]
            if not files and decision != "done" and (source or holds):
                yield f"{name} gets the files", put(i, (log, commit, leads, True)), None
            if not lost:
                yield f"{name} loses its disk", put(i, None, lost=True), None
            if not leads and term < self.terms:
                mine = (log[-1][0] if log else 0, len(log))
                votes = [j for j, o in enumerate(members) if o and mine >= (o[0][-1][0] if o[0] else 0, len(o[0]))]
                if len(votes) > 1:
                    new = tuple(o and (o[0], o[1], False, o[3]) for o in members)
                    new = new[:i] + ((log + ((term + 1, ""),), commit, True, files),) + new[i + 1 :]
                    yield f"{name} is elected", (new, term + 1, decision, source, lost), None
            if not leads:
                continue
            has = {what for _, what in log}
            if "I" not in has and files and decision is None and len(log) < self.length:
                if not self.staged_first or len(holds) > 1:
                    yield f"{name} proposes install", put(i, (log + ((term, "I"),), commit, leads, files)), None
            for what, need in (("D", "A"), ("O", "F")):
                if decision == need and what not in has and "I" in has:
                    yield f"{name} proposes {what}", put(i, (log + ((term, what),), commit, leads, files)), None
            for j, other in enumerate(members):
                if j == i or other is None:
                    continue
                take = log
                if not self.stored and not other[3]:  # the entry waits for the files
                    for k, (_, what) in enumerate(log):
                        if what == "I" and (k >= len(other[0]) or other[0][k] != log[k]):
                            if not (self.aborted_ack and decision == "A"):
                                take = log[:k]
                                break
                if other[0][: len(take)] != take:
                    yield f"{name} appends at {'NAB'[j]}", put(j, (take, other[1], other[2], other[3])), None
                if self.snapshot and commit > other[1] and not files and log[:commit] != other[0][:commit]:
                    yield (
                        f"{name} sends a snapshot to {'NAB'[j]}",
                        put(j, (log[:commit], commit, False, other[3])),
                        None,
                    )
                if self.snapshot and commit > other[1] and not files and other[0][:commit] == log[:commit]:
                    yield f"{name} sends a snapshot to {'NAB'[j]}", put(j, (other[0], commit, False, other[3])), None
                told = min(commit, self.acknowledged(other, decision)) if other[0][:commit] == log[:commit] else 0
                if told > other[1]:
                    used = other[3] and "D" not in {w for _, w in log[:told]}
                    yield f"{'NAB'[j]} commits {told}", put(j, (other[0], told, other[2], used)), None
            for n in range(commit + 1, len(log) + 1):
                if log[n - 1][0] == term:
                    have = [
                        j
                        for j, o in enumerate(members)
                        if o and o[0][:n] == log[:n] and (self.acknowledged(o, decision) >= n or o[1] >= n)
                    ]
                    if len(have) > 1:
                        keeps = files and "D" not in {w for _, w in log[:n]}
                        yield f"{name} commits {n}", put(i, (log, n, leads, keeps)), None
            if "I" in {w for _, w in log[:commit]} and decision is None:
                yield "flip", put(None, None, decision="F"), None
        if decision is None:
            yield "abort", put(None, None, decision="A"), None
        if decision == "A" and source:
            yield "the old group unfences, its files change", put(None, None, source=False), None
        if decision == "F" and source:
            new = tuple(m and (m[0], m[1], m[2], m[3] and not (self.shared and k > 0)) for k, m in enumerate(members))
            yield "the old group releases", (new, term, decision, False, lost), None

    def check(self, state):
        members, _, decision, source, lost = state
        if decision == "F" and not source and not any(m and m[3] for m in members):
            return "the files are gone after the flip"
        living = [m for m in members if m]
        if lost and not source and not any(m[3] for m in living):  # nobody can get the files any more
            first, other = sorted(living, key=lambda m: (m[0][-1][0] if m[0] else 0, len(m[0])), reverse=True)
            for k, (_, what) in enumerate(first[0]):
                if what != "I" or (self.aborted_ack and decision == "A") or not self.durable_ack:
                    continue
                mine = k < first[1] or not self.stored
                has = other[0][: k + 1] == first[0][: k + 1]
                theirs = k < other[1] or (has and not self.stored) or (self.snapshot and k < first[1])
                if not (mine and theirs):
                    return "two of three live, and the group can never commit again"
        return None


CASES = {
    "as written": {},
    "entry and files are one unit": dict(stored=False),
    "... and proposed when a majority holds the files": dict(stored=False, staged_first=True),
    "... and a snapshot for who comes late (proposed rule)": dict(stored=False, snapshot=True),
    "one unit, snapshot, staged at a majority first": dict(stored=False, staged_first=True, snapshot=True),
    "stored at once, snapshot": dict(snapshot=True),
    "stored at once, snapshot, no files needed after an abort": dict(snapshot=True, aborted_ack=True),
    "seeded: acknowledged without files": dict(durable_ack=False),
    "seeded: folders shared by the groups of a node": dict(stored=False, snapshot=True, shared=True),
}

if __name__ == "__main__":
    from tests.models.slot_move import show

    for title, options in CASES.items():
        model = Model(**options)
        show(explore(title, model.initial(), model.steps, model.check, limit=400_000))
