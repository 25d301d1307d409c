"""Whatever a Secret or an API holds is either a key or refused: nothing else is raised, and nothing takes long."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat import asn1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bek_operator
from bek_operator.model.der import RsaPrivateKey
from bek_operator.model.key import (
    ENTRIES,
    MAX_ENTRY_BYTES,
    InvalidKey,
    UnreadableKey,
    public_key_from_secret,
    remote_fingerprint,
)
from bek_operator.model.key_parts import BITS, refuse_unusable
from bek_operator.model.pem import UnusableError
from kit import der, keys
from kit.key_samples import PASSPHRASE, armored, certificate, classic_with, der_of, encrypted_with, plain, read

HOSTILE = settings(
    max_examples=60,
    deadline=timedelta(seconds=10),
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)

SAMPLES: dict[str, Callable[[], str]] = {
    "a public key": lambda: plain().public,
    "a PKCS#1 public key": lambda: keys.classic_public_of(plain().private),
    "a private key": lambda: plain().private,
    "a PKCS#1 private key": lambda: keys.classic(plain().private),
    "a certificate": certificate,
    "an encrypted private key": encrypted_with,
    "a private key under scrypt": lambda: encrypted_with("-scrypt", "-scrypt_N", "16"),
    "a private key under an older scheme": lambda: encrypted_with("-v1", "PBE-SHA1-3DES"),
    "a private key encrypted by OpenSSL 1": lambda: classic_with("-aes128"),
}
BINARY = ["a public key", "a private key", "a PKCS#1 private key", "a certificate"]
ENCRYPTED = [name for name in SAMPLES if "encrypted" in name or "under" in name]


@st.composite
def damage(draw: st.DrawFn, size: int, within: int | None = None) -> Callable[[bytes], bytes]:
    """Replace, drop, repeat or insert some bytes of a content of this size, up to `within`."""
    start = draw(st.integers(0, (within or size) - 1))
    end = min(size, start + draw(st.integers(0, 8)))
    new = draw(st.binary(max_size=8) | st.sampled_from([b"\n", b"-----", b"\\n", b"\0", b"\x7f\xff\xff\xff"]))
    return lambda content: content[:start] + new + content[end:]


def judge(data: dict[str, bytes]) -> None:
    """Read a key, and hold the refusal against its bound."""
    try:
        public_key_from_secret(data, entry=None, passphrase_entry="passphrase")
    except InvalidKey as refusal:
        assert 0 < len(str(refusal)) <= 256  # noqa: PT017 - being refused is one of two right answers


@HOSTILE
@given(data=st.dictionaries(st.sampled_from([*ENTRIES, "passphrase"]), st.binary(max_size=200)))
def test_any_bytes_are_refused_or_a_key(data: dict[str, bytes]) -> None:
    """Entries of any content, and a passphrase of any bytes, raise nothing but InvalidKey."""
    judge(data)


@HOSTILE
@given(text=st.text(st.sampled_from("-BEGIN PULCKYRVATCDOHR:,46\\n\n=MIab+/"), max_size=300))
def test_any_text_in_the_letters_of_pem_is_refused_or_a_key(text: str) -> None:
    """Text that looks like PEM raises nothing but InvalidKey."""
    judge({"private.pem": f"-----BEGIN RSA PRIVATE KEY-----{text}-----END RSA PRIVATE KEY-----".encode()})
    judge({"private.pem": text.encode()})


@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_pem_is_refused_or_a_key(name: str) -> None:
    """A PEM in which some characters were changed raises nothing but InvalidKey."""
    pem = SAMPLES[name]().encode()

    @HOSTILE
    @given(change=damage(len(pem)), other=damage(len(pem)))
    def check(change: Callable[[bytes], bytes], other: Callable[[bytes], bytes]) -> None:
        judge({"private.pem": change(pem), "passphrase": PASSPHRASE.encode()})
        judge({"private.pem": other(change(pem)), "passphrase": PASSPHRASE.encode()})

    check()


def test_neither_version_nor_signature_of_a_certificate_matters() -> None:
    """Its key is what counts."""
    other = der_of(certificate()).replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)[:-4] + bytes(4)
    assert read({"tls.crt": armored("CERTIFICATE", other)}).pem == plain().public


@pytest.mark.parametrize("name", [name for name in SAMPLES if "OpenSSL 1" not in name])
def test_damaged_der_is_refused_or_a_key(name: str) -> None:
    """DER in which some bytes were changed, most of them near its beginning, raises nothing but InvalidKey."""
    pem = SAMPLES[name]()
    label, content = pem.split("-----")[1].removeprefix("BEGIN "), der_of(pem)

    @HOSTILE
    @given(change=damage(len(content), within=120) | damage(len(content)))
    def check(change: Callable[[bytes], bytes]) -> None:
        damaged = armored(label, change(content))
        judge({"private.pem": damaged.encode(), "passphrase": PASSPHRASE.encode()})

    check()


@HOSTILE
@given(cipher=st.sampled_from(["AES-128-CBC", "AES-256-CBC", "DES-EDE3-CBC", "AES-192-CBC"]), iv=st.binary(max_size=40))
def test_any_classic_header_is_refused(cipher: str, iv: bytes) -> None:
    """The header of a key encrypted by OpenSSL 1 may name any cipher and any start value."""
    pem = classic_with("-aes128").splitlines()
    pem[2] = f"DEK-Info: {cipher},{iv.hex()}"
    judge({"private.pem": "\n".join(pem).encode(), "passphrase": PASSPHRASE.encode()})


@HOSTILE
@given(text=st.text(st.sampled_from("-BEGINPULCKYD \\n\n\r\0\xa0ä€\u2028\ud800\U0001f511=MIab+/"), max_size=300))
def test_any_answer_is_a_key_or_none_or_unreadable(text: str) -> None:
    """An answer of any text raises nothing but UnreadableKey."""
    for answer in (text, f"-----BEGIN PUBLIC KEY-----{text}-----END PUBLIC KEY-----"):
        try:
            fingerprint = remote_fingerprint(answer)
        except UnreadableKey:
            continue
        assert fingerprint is None or fingerprint.startswith("sha256:")


@HOSTILE
@given(change=damage(294))
def test_a_damaged_answer_is_never_our_key(change: Callable[[bytes], bytes]) -> None:
    """What differs from our key by a byte has another fingerprint, or none."""
    ours = der_of(plain().public)
    damaged = change(ours)
    try:
        fingerprint = remote_fingerprint(armored("PUBLIC KEY", damaged))
    except UnreadableKey:
        return
    assert (fingerprint == plain().fingerprint) == (damaged == ours)


class Counted(int):
    """An integer that counts what is done with it: for each operation the product of the two sizes, in bits."""

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
SIZES = st.sampled_from([1, 8, 512, 1024, 2047, 2048, 2049, 3072, 4096, 16_384, 40_000, 100_000])
FORMS: dict[str, Callable[[str, int], bytes]] = {
    "PRIVATE KEY": der.private_key_info,
    "PUBLIC KEY": der.public_key_info,
    "CERTIFICATE": der.certificate,
    "RSA PUBLIC KEY": lambda _, size: der.rsa_public(size),
    "RSA PRIVATE KEY": lambda _, size: der.rsa_private(size),
}
MOST_STEPS = 4 * (2 * BITS) * BITS
"""Two products of numbers of 2048 bits, and two divisions of one that is twice as long."""


@HOSTILE
@given(algorithm=st.sampled_from(ALGORITHMS), size=SIZES, form=st.sampled_from(list(FORMS)))
def test_a_key_of_any_algorithm_and_size_is_refused_by_its_header(algorithm: str, size: int, form: str) -> None:
    """Only RSA of 2048 bits is looked into, and that is refused because nothing in it fits."""
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


@HOSTILE
@given(n=st.integers() | SIZES.map(der.odd), rest=st.lists(st.integers() | SIZES.map(der.odd), min_size=7, max_size=7))
def test_the_work_on_the_numbers_of_a_key_is_bounded(n: int, rest: list[int]) -> None:
    """Whatever numbers a key holds, and however large, no more is computed than with those of a good one."""
    work_on(n, rest)


def test_the_work_on_a_good_key_is_just_that() -> None:
    """The bound is no larger than a good key needs, so that the count above counts."""
    key = asn1.decode_der(RsaPrivateKey, der_of(keys.classic(plain().private)))
    assert work_on(key.n, [key.e, key.d, key.p, key.q, key.dp, key.dq, key.inverse])


def work_on(n: int, rest: list[int]) -> bool:
    """Judge the numbers of a private key, hold the steps against the bound, and return whether they are usable."""
    Counted.steps = 0
    names = ("e", "d", "p", "q", "dp", "dq", "inverse")
    numbers = {name: Counted(number) for name, number in zip(names, rest, strict=True)}
    try:
        refuse_unusable(RsaPrivateKey(version=0, n=Counted(n), **numbers))
    except UnusableError:
        return False
    else:
        return Counted.steps > 0
    finally:
        assert Counted.steps <= MOST_STEPS


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
    """However DER is put together, it raises nothing but InvalidKey, under each label."""
    for label in ("PRIVATE KEY", "CERTIFICATE", "X509 CRL"):
        judge({"private.pem": armored(label, der.sequence(content)).encode(), "passphrase": b"x"})
    judge({"private.pem": der.sequence(content), "passphrase": b"x"})


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
def test_what_is_no_der_is_refused(content: bytes) -> None:
    """Lengths and numbers that DER forbids, or that lead nowhere, are damage."""
    for label in ("PUBLIC KEY", "CERTIFICATE", "ENCRYPTED PRIVATE KEY"):
        secret = {"private.pem": armored(label, content).encode(), "passphrase": b"x"}
        with pytest.raises(InvalidKey, match="is no readable "):
            public_key_from_secret(secret, entry=None, passphrase_entry="passphrase")


def test_no_library_opens_a_key() -> None:
    """The loaders of the library compute with what they read before anybody knows what it is."""
    loaders = re.compile(r"load_(?:der|pem|ssh)_\w+|load_pkcs12|serialization")
    folder = Path(bek_operator.__file__).parent
    assert {file.name: found for file in folder.rglob("*.py") if (found := loaders.findall(file.read_text()))} == {}


HEAPS: dict[str, bytes] = {
    "backslashes": b"\\" * 65_536,
    "escaped newlines": b"\\n" * 32_768,
    "dashes": b"-" * 65_536,
    "BEGIN lines": b"-----BEGIN PUBLIC KEY-----" * 2_500,
    "empty blocks": b"-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----" * 1_300,
    "white space in a block": b"-----BEGIN RSA PRIVATE KEY-----" + b" \n" * 32_000 + b"-----END RSA PRIVATE KEY-----",
    "base64": b"A" * 65_536,
    "a large modulus": armored("RSA PUBLIC KEY", b"\x30\x82\xbb\x00\x02\x82\xba\xf0" + b"\x7f" * 47_856).encode(),
}


@pytest.mark.parametrize("content", HEAPS.values(), ids=HEAPS.keys())
@pytest.mark.timeout(10)
def test_a_heap_of_anything_is_refused_quickly(content: bytes) -> None:
    """No content within the bound takes more than linear work."""
    with pytest.raises(InvalidKey):
        public_key_from_secret({"public.pem": content}, entry=None, passphrase_entry=None)
