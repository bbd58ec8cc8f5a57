"""Where a statement ends: at `;` outside of texts, or where it is complete as it stands."""

import re
from datetime import UTC

from iotdb_cluster.errors import SqlError
from iotdb_cluster.sql.parse import parse

_PIECE = re.compile(
    r"""("[^"\\]*+(?:\\.[^"\\]*+)*+" | '[^'\\]*+(?:\\.[^'\\]*+)*+' | "[^"]*+" | '[^']*+') | (;)""",
    re.VERBOSE | re.DOTALL,
)
COMMAND = "\\"
"""How a command to the prompt itself begins."""


def split(text: str) -> list[str]:
    """The statements and commands of a text, without what ends them: `;`, for a command the end of its line."""
    found: list[str] = []
    rest = text.strip()
    while rest:
        if rest.startswith(COMMAND):
            line, _, rest = rest.partition("\n")
            found.append(line.strip().rstrip(";").rstrip())
        else:
            end = next((piece.start() for piece in _PIECE.finditer(rest) if piece[2]), len(rest))
            statement, rest = rest[:end].strip(), rest[end + 1 :]
            if statement:
                found.append(statement)
        rest = rest.strip()
    return found


def is_complete(text: str) -> bool:
    """True when there is nothing to wait for: `;` at the end, a command, a whole statement, or a hopeless one."""
    text = text.strip()
    if not text or text.endswith(";") or text.startswith(COMMAND):
        return True
    try:
        parse(text, zone=UTC, now_ms=0)
    except SqlError as error:
        # With an error at its very end there may be more to come.
        return error.token != ""
    return True
