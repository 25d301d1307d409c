"""Derives symmetric keys from passphrases; as a program, one of them within limits of CPU time and memory.

    python -I -S derive.py 10      # seconds of CPU; request on standard input, key on standard output

The program imports nothing but what is here: so it starts in 40 ms, and needs 12 MiB beside scrypt's own memory.

PBKDF2 is RFC 8018 5.2, PBES1's derivation 5.1, scrypt RFC 7914, the derivation of PKCS#12 RFC 7292 appendix B.2.
"""

import hashlib
import os
import resource
import sys
from collections.abc import Callable, Mapping

SCRYPT = "scrypt"
PKCS12 = "pkcs12"
MD5 = "md5"

SCRYPT_BYTES = 32 * 2**20
"""The memory limit for scrypt: that of OpenSSL, which reads no key that needs more (crypto/evp/pbe_scrypt.c)."""

_DATA_BYTES = 48 * 2**20
_NICENESS = 5
_SHA1_BLOCK = 64
_IV_BYTES = 8


def derive(scheme: str, costs: tuple[int, ...], size: int, salt: bytes, passphrase: bytes) -> bytes:
    """Return a key of so many bytes.

    Args:
        scheme: `SCRYPT`, `PKCS12` (the key, and 8 bytes of IV after it; the passphrase is in UTF-16), `MD5` (PBES1), or
            PBKDF2's hash.
        costs: The rounds; of scrypt N, r and p.
        size: The number of bytes.
        salt: The salt.
        passphrase: The passphrase.
    """
    if scheme == SCRYPT:
        n, r, p = costs
        return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, maxmem=SCRYPT_BYTES, dklen=size)
    (rounds,) = costs
    if scheme in _OWN:
        return _OWN[scheme](passphrase, salt, rounds, size)
    return hashlib.pbkdf2_hmac(scheme, passphrase, salt, rounds, size)


def request(scheme: str, costs: tuple[int, ...], size: int, salt: bytes, passphrase: bytes) -> bytes:
    """Return what the program reads; the arguments are those of `derive`."""
    return " ".join([scheme, ",".join(map(str, costs)), str(size), salt.hex(), passphrase.hex()]).encode("ascii")


def answer(asked: bytes) -> bytes:
    """Return the key that a request asks for."""
    scheme, costs, size, salt, passphrase = asked.decode("ascii").split(" ")
    rounds = tuple(map(int, costs.split(",")))
    return derive(scheme, rounds, int(size), bytes.fromhex(salt), bytes.fromhex(passphrase))


def md5(data: bytes) -> bytes:
    """Return an MD5 digest."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def _md5_rounds(passphrase: bytes, salt: bytes, rounds: int, size: int) -> bytes:
    derived = passphrase + salt
    for _ in range(rounds):
        derived = md5(derived)
    return derived[:size]


def _pkcs12(passphrase: bytes, salt: bytes, rounds: int, size: int) -> bytes:
    key, iv = ((1, size - _IV_BYTES), (2, _IV_BYTES))
    return b"".join(_pkcs12_part(passphrase, salt, rounds, *part) for part in (key, iv))


def _pkcs12_part(passphrase: bytes, salt: bytes, rounds: int, purpose: int, size: int) -> bytes:
    diversifier = bytes([purpose]) * _SHA1_BLOCK
    filled = _filled(salt) + _filled(passphrase)
    derived = b""
    while len(derived) < size:
        digest = diversifier + filled
        for _ in range(rounds):
            digest = hashlib.sha1(digest, usedforsecurity=False).digest()
        derived += digest
        step = int.from_bytes((digest * 4)[:_SHA1_BLOCK], "big") + 1
        blocks = (filled[at : at + _SHA1_BLOCK] for at in range(0, len(filled), _SHA1_BLOCK))
        filled = b"".join(_low(int.from_bytes(block, "big") + step) for block in blocks)
    return derived[:size]


def _filled(part: bytes) -> bytes:
    """Repeat a part until it fills whole blocks."""
    blocks = -(-len(part) // _SHA1_BLOCK)
    return (part * _SHA1_BLOCK)[: blocks * _SHA1_BLOCK]


def _low(number: int) -> bytes:
    return (number % (1 << 8 * _SHA1_BLOCK)).to_bytes(_SHA1_BLOCK, "big")


_OWN: Mapping[str, Callable[[bytes, bytes, int, int], bytes]] = {PKCS12: _pkcs12, MD5: _md5_rounds}


if __name__ == "__main__":
    os.nice(_NICENESS)
    # One that exceeds the limits would otherwise leave a core file, with the passphrase in it.
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: int(sys.argv[1]), resource.RLIMIT_DATA: _DATA_BYTES}
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))
