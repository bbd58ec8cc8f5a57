"""Which words are keywords, in any case; all other words are names (interface page "SQL", "Path")."""

_WORDS = """
ADD ALIGN ALL ALTER AND BITMAP BOOLEAN BY CHILD COMPRESSION COMPRESSOR CONFIGURATION COUNT CREATE DATATYPE DELETE
DESCRIBE DEVICE DEVICES DIFF DISABLE DOUBLE DROP DYNAMIC ENCODING FILL FLOAT FLUSH FROM GORILLA GRANT GROUP INDEX
INFO INSERT INT32 INT64 INTO LABEL LEVEL LIMIT LINEAR LINK LIST LOAD MERGE METADATA MOVE NODES NOT NOW OF OFFSET ON
OR PARAMETER PASSWORD PATHS PLAIN PLAIN_DICTIONARY PREVIOUS PRIVILEGES PROPERTY REGULAR REMOVE REVOKE RLE ROLE ROOT
SELECT SET SHOW SLIMIT SOFFSET STORAGE TASK TEXT TIMESERIES TIMESTAMP TO TS_2DIFF TTL UNLINK UNSET UPDATE USER
USING VALUE VALUES VERSION WATERMARK_EMBEDDING WHERE WITH
"""
RESERVED = frozenset(_WORDS.split())
"""No node of a path can be one of these, unless it stands in quotes as the last one.

`time` is a name, and so are the functions except `count`: the parenthesis behind them makes them functions.
"""

CONTEXTUAL = frozenset({"CONSISTENCY", "EXPLAIN", "FULL"})
"""Keywords of this project and of its admin commands, which are names wherever a name can stand."""


def keyword_of(word: str) -> str | None:
    """The keyword that a word is, in capitals; None for a name. A letter such as the long s never makes a keyword."""
    upper = word.upper()
    return upper if word.isascii() and (upper in RESERVED or upper in CONTEXTUAL) else None
