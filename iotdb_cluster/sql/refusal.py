"""How a statement is refused while it is read: with a position, which becomes line and column for people."""

from iotdb_cluster.errors import SqlError, SqlTreeRefused, StatusCode

SHOWN_CHARACTERS = 40


class Refusal(Exception):
    """What is wrong, and at which character; `to_error` makes the error that is answered."""

    def __init__(
        self,
        problem: str,
        position: int,
        token: str = "",
        *,
        expected: tuple[str, ...] = (),
        is_tree: bool = False,
        code: StatusCode | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.position = position
        self.token = token
        self.expected = expected
        self.is_tree = is_tree
        self.code = code

    def to_error(self, text: str) -> SqlError:
        """The error for the statement `text`."""
        line = text.count("\n", 0, self.position) + 1
        column = self.position - text.rfind("\n", 0, self.position)
        kind = SqlTreeRefused if self.is_tree else SqlError
        return kind(self.problem, line=line, column=column, token=self.token, expected=self.expected, code=self.code)


def shown(text: str) -> str:
    """A token in quotes, cut where it is long."""
    # A slice is a plain text also where `text` is a token, which shows its type.
    return repr(text[:SHOWN_CHARACTERS] + ("..." if len(text) > SHOWN_CHARACTERS else ""))
