"""Passwords as they are kept: never themselves, only what scrypt makes of them and a salt."""

import hashlib
import hmac

COST = 2**13
"""About 8 MB and a fiftieth of a second for each guess."""

_SCHEME = "scrypt"


def hashed(password: str, salt: bytes) -> str:
    """`scrypt$salt$hash` in hexadecimal."""
    return f"{_SCHEME}${salt.hex()}${_hash(password, salt).hex()}"


def fits(password: str, secret: str) -> bool:
    """True when `secret` was made of this password; False also for a secret of another scheme."""
    scheme, _, rest = secret.partition("$")
    salt, _, expected = rest.partition("$")
    if scheme != _SCHEME:
        return False
    return hmac.compare_digest(_hash(password, bytes.fromhex(salt)).hex(), expected)


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=COST, r=8, p=1)
