"""How large a statement may be, so that any text is answered or refused within a tenth of a second."""

MAX_STATEMENT_CHARACTERS = 1 << 20
"""Characters of a statement; a long text in an INSERT is one token and may take nearly all of them."""

MAX_TOKENS = 6_000
"""Tokens of a statement; a path, a number, a text or a time is one. Room for an INSERT of 1,490 measurements."""

MAX_WORD_CHARACTERS = 2_000
"""Characters of a name, a number or a duration."""

MAX_DEPTH = 128
"""Open parentheses at one time. Everything that walks a condition may recurse this deep."""

MAX_PATHS = 2_000
"""Paths in one list: of SELECT, of FROM, of a DELETE."""

MAX_CACHED_STATEMENTS = 1_000
"""Statements whose trees are kept for the next time."""

MAX_CACHED_CHARACTERS = 2_000
"""Longer statements are parsed anew each time; with the number above this bounds the memory of the cache."""
