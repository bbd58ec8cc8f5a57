"""Completion of keywords, functions, and paths as the server knows them."""

import re
import time
from collections.abc import Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from iotdb_cluster.errors import ClusterError
from iotdb_cluster.sql.keywords import CONTEXTUAL, RESERVED

FUNCTIONS = ("avg", "count", "first_value", "last_value", "max_time", "max_value", "min_time", "min_value", "sum")
COMMANDS = ("\\h", "\\i", "\\plot", "\\q")
PATHS_KEPT_S = 30.0
COMPLETIONS_MAX = 200

_WORD = re.compile(r"[\w.\\]*\Z")


class SqlCompleter(Completer):
    """Asks for the paths at most every half minute; where that fails, there are just none."""

    def __init__(self, paths: Callable[[], list[str]], *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._ask = paths
        self._now_s = now_s
        self._asked_at = float("-inf")
        self._paths: list[str] = []

    def forget(self) -> None:
        """Ask again next time: a statement may have changed what there is."""
        self._asked_at = float("-inf")

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What the word before the cursor can become."""
        found = _WORD.search(document.text_before_cursor)
        word = found[0] if found else ""
        for text in self.candidates(word)[:COMPLETIONS_MAX]:
            yield Completion(text, start_position=-len(word))

    def candidates(self, word: str) -> list[str]:
        """Sorted, each beginning with `word` but for its case; of paths the next node, of a series its name alone."""
        if not word:
            return []
        if word.startswith("\\"):
            return [command for command in COMMANDS if command.startswith(word)]
        if word.startswith("root."):
            level = word.count(".") + 1
            return sorted({".".join(path.split(".")[:level]) for path in self._known() if path.startswith(word)})
        names = {path.rpartition(".")[2] for path in self._known()}
        lower = word.lower()
        words = sorted(names) + [*FUNCTIONS, "root", "time", *sorted(RESERVED | CONTEXTUAL)]
        return [each for each in dict.fromkeys(words) if each.lower().startswith(lower)]

    def _known(self) -> list[str]:
        if self._now_s() - self._asked_at > PATHS_KEPT_S:
            self._asked_at = self._now_s()
            try:
                self._paths = self._ask()
            except ClusterError:
                # Whoever is typing does not want to read about it now; the statement will tell.
                self._paths = []
        return self._paths
