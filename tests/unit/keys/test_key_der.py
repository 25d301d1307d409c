"""DER: keys of any algorithm and size, and invalid structures, are handled with a bounded cost."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat import asn1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bek_operator
from bek_operator.keys.der import RsaPrivateKey
from bek_operator.keys.parts import BITS, refuse_unusable
from bek_operator.keys.pem import UnusableError
from bek_operator.keys.public_key import MAX_ENTRY_BYTES, InvalidKey, public_key_from_secret
from support import der, keys
from support.key_samples import armored, der_of, plain, read

HOSTILE = settings(
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)


class Counted(int):
    """An integer that counts the cost of operations: the product of the operands' sizes in bits."""

    steps = 0

    def __mul__(self, other: int) -> int:
        """Multiply, and count."""
        return self._count(other, int(self) * int(other))

    def __mod__(self, other: int) -> int:
        """Divide, and count."""
        return self._count(other, int(self) % int(other))

    def _count(self, other: int, result: int) -> int:
        Counted.steps += self.bit_length() * int(other).bit_length()
        return Counted(result)


ALGORITHMS = [der.RSA, der.RSA_PSS, der.DSA, der.EC, der.DIFFIE_HELLMAN, der.X942, der.ED25519, der.NOBODY]
SIZES = (1, 8, 512, 1024, 2047, 2048, 2049, 3072, 4096, 16_384, 40_000, 100_000)
FORMS: dict[str, Callable[[str, int], bytes]] = {
    "PRIVATE KEY": der.private_key_info,
    "PUBLIC KEY": der.public_key_info,
    "CERTIFICATE": der.certificate,
    "RSA PUBLIC KEY": lambda _, size: der.rsa_public(size),
    "RSA PRIVATE KEY": lambda _, size: der.rsa_private(size),
}
MOST_STEPS = 6 * BITS * BITS
"""Two products of numbers of 2048 bits, and two divisions of one twice as long."""


@HOSTILE
@given(algorithm=st.sampled_from(ALGORITHMS), size=st.sampled_from(SIZES), form=st.sampled_from(list(FORMS)))
def test_a_key_of_any_algorithm_and_size_is_refused(algorithm: str, size: int, form: str) -> None:
    """By its header; only RSA of 2048 bits is checked further."""
    pem = armored(form, FORMS[form](algorithm, size)).encode()
    if form.startswith("RSA"):
        algorithm = der.RSA
    if algorithm == der.RSA and size == BITS and "PRIVATE" not in form:
        read({"private.pem": pem})
        return
    with pytest.raises(InvalidKey) as caught:
        read({"private.pem": pem})
    if len(pem) > MAX_ENTRY_BYTES:
        assert "too large" in str(caught.value)
    elif algorithm in NAMED:
        assert f"is {NAMED[algorithm]}; " in str(caught.value)
    elif size > BITS:
        assert f"is an RSA key of {size} bits; " in str(caught.value)


NAMED = {
    der.RSA_PSS: "an RSA-PSS key, which can only sign",
    der.DSA: "a DSA key",
    der.EC: "an EC key",
    der.DIFFIE_HELLMAN: "a Diffie-Hellman key",
    der.X942: "a Diffie-Hellman key",
    der.ED25519: "an Ed25519 key",
    der.NOBODY: "a key of another algorithm",
}


NUMBERS = st.integers() | st.sampled_from(SIZES).map(der.odd)


@HOSTILE
@given(n=NUMBERS, rest=st.lists(NUMBERS, min_size=7, max_size=7))
def test_cost_is_bounded_for_any_numbers(n: int, rest: list[int]) -> None:
    """It does not exceed that of a valid key by much."""
    work_on(n, rest)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rest", SIZES)
def test_cost_is_bounded_for_large_numbers(size: int, rest: int) -> None:
    """A large modulus, or large numbers beside a small one."""
    assert not work_on(der.odd(size), [3] + [der.odd(rest)] * 6)


@pytest.mark.parametrize("size", SIZES)
def test_cost_is_bounded_for_a_large_exponent(size: int) -> None:
    """Beside the other numbers of a valid key."""
    key = good_key()
    assert not work_on(key.n, [key.e, der.odd(size), key.p, key.q, key.dp, key.dq, key.inverse])
    assert not work_on(key.n, [der.odd(size), key.d, key.p, key.q, key.dp, key.dq, key.inverse])


def test_cost_of_a_valid_key_is_counted() -> None:
    """It is most of the bound, so that the bound is meaningful."""
    key = good_key()
    assert work_on(key.n, [key.e, key.d, key.p, key.q, key.dp, key.dq, key.inverse])
    assert 0 < Counted.steps <= MOST_STEPS


def good_key() -> RsaPrivateKey:
    """Return the numbers of a usable key."""
    return asn1.decode_der(RsaPrivateKey, der_of(keys.classic(plain().private)))


def work_on(n: int, rest: list[int]) -> bool:
    """Return whether the numbers of a private key are usable, and check the cost against the bound."""
    Counted.steps = 0
    names = ("e", "d", "p", "q", "dp", "dq", "inverse")
    numbers = {name: Counted(number) for name, number in zip(names, rest, strict=True)}
    usable = True
    try:
        refuse_unusable(RsaPrivateKey(version=0, n=Counted(n), **numbers))
    except UnusableError:
        usable = False
    assert Counted.steps <= MOST_STEPS
    return usable


@HOSTILE
@given(
    content=st.recursive(
        st.binary(max_size=20) | st.integers().map(der.integer) | st.sampled_from(ALGORITHMS).map(der.oid),
        lambda within: st.tuples(
            st.sampled_from([0x30, 0x31, 0x04, 0x03, 0xA0, 0xA3]), st.lists(within, max_size=9)
        ).map(lambda pair: der.tlv(pair[0], *pair[1])),
        max_leaves=30,
    )
)
def test_any_structure_is_refused(content: bytes) -> None:
    """It raises nothing but InvalidKey, under each label."""
    for label in ("PRIVATE KEY", "CERTIFICATE", "X509 CRL"):
        assert refused({"private.pem": armored(label, der.sequence(content)).encode(), "passphrase": b"x"})
    assert refused({"private.pem": der.sequence(content), "passphrase": b"x"})


def refused(secret: Mapping[str, bytes]) -> bool:
    """Return whether a Secret is refused."""
    try:
        public_key_from_secret(secret, entry="private.pem", passphrase_entry="passphrase")
    except InvalidKey:
        return True
    return False


WRONG_LENGTHS: dict[str, bytes] = {
    "an indefinite length": bytes.fromhex("3080020101020103 0000"),
    "a length that is longer than it must be": bytes.fromhex("308106020101020103"),
    "a length of five bytes": bytes.fromhex("30850000000006020101020103"),
    "a length of all ones": bytes.fromhex("30ff020101020103"),
    "more than there is": bytes.fromhex("3084ffffffff020101020103"),
    "bytes after the end": bytes.fromhex("300602010102010300"),
    "an integer without a byte": bytes.fromhex("300502000201 03"),
    "an integer with a needless zero": bytes.fromhex("300702020001020103"),
    "a deep nest": b"\x30\x80" * 20_000,
    "a deep nest of lengths": b"\x30\x84\x00\x01\x00\x00" * 7_000,
    "many small things": der.sequence(der.sequence(der.NULL * 20_000), der.bits(b"")),
    "many arcs": der.sequence(der.sequence(der.tlv(6, b"\x81" * 40_000 + b"\x01")), der.bits(b"")),
}


@pytest.mark.parametrize("content", WRONG_LENGTHS.values(), ids=WRONG_LENGTHS.keys())
def test_invalid_der_is_refused(content: bytes) -> None:
    """Lengths and numbers that DER forbids count as damage."""
    for label in ("PUBLIC KEY", "CERTIFICATE", "ENCRYPTED PRIVATE KEY"):
        secret = {"private.pem": armored(label, content).encode(), "passphrase": b"x"}
        with pytest.raises(InvalidKey, match="is not a readable "):
            public_key_from_secret(secret, entry=None, passphrase_entry="passphrase")


def test_cryptography_loads_no_key() -> None:
    """Its loaders compute with a key before it can be checked."""
    loaders = re.compile(r"load_(?:der|pem|ssh)_\w+|load_pkcs12|import serialization|serialization\.")
    folder = Path(bek_operator.__file__).parent
    assert {file.name: found for file in folder.rglob("*.py") if (found := loaders.findall(file.read_text()))} == {}
