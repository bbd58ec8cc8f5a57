"""Numbers of things, in words."""


def counted(count: int, noun: str) -> str:
    """`1 slot`, `2 slots`: for nouns that take an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
