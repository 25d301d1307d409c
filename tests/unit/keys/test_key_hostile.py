"""Hostile input of a Secret or an API is parsed or refused, without other errors, in linear time."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bek_operator.keys.public_key import (
    ENTRIES,
    InvalidKey,
    UnreadableKey,
    public_key_from_secret,
    remote_fingerprint,
)
from support import keys
from support.key_samples import PASSPHRASE, armored, certificate, classic_with, der_of, encrypted_with, plain, read

HOSTILE = settings(
    max_examples=60,
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


def read_or_refuse(data: dict[str, bytes]) -> None:
    """Read a key, and check the length of the message if it is refused."""
    try:
        public_key_from_secret(data, entry=None, passphrase_entry="passphrase")
    except InvalidKey as refusal:
        assert 0 < len(str(refusal)) <= 256  # noqa: PT017 - being refused is one of two right answers


@HOSTILE
@given(data=st.dictionaries(st.sampled_from([*ENTRIES, "passphrase"]), st.binary(max_size=200)))
def test_any_bytes_are_refused_or_a_key(data: dict[str, bytes]) -> None:
    """Entries of any content, and a passphrase of any bytes, raise nothing but InvalidKey."""
    read_or_refuse(data)


@HOSTILE
@given(text=st.text(st.sampled_from("-BEGIN PULCKYRVATCDOHR:,46\\n\n=MIab+/"), max_size=300))
def test_any_text_like_pem_is_refused_or_a_key(text: str) -> None:
    """It raises nothing but InvalidKey."""
    read_or_refuse({"private.pem": f"-----BEGIN RSA PRIVATE KEY-----{text}-----END RSA PRIVATE KEY-----".encode()})
    read_or_refuse({"private.pem": text.encode()})


@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_pem_is_refused_or_a_key(name: str) -> None:
    """A PEM in which some characters were changed raises nothing but InvalidKey."""
    pem = SAMPLES[name]().encode()

    @HOSTILE
    @given(change=damage(len(pem)), other=damage(len(pem)))
    def check(change: Callable[[bytes], bytes], other: Callable[[bytes], bytes]) -> None:
        read_or_refuse({"private.pem": change(pem), "passphrase": PASSPHRASE.encode()})
        read_or_refuse({"private.pem": other(change(pem)), "passphrase": PASSPHRASE.encode()})

    check()


def test_version_and_signature_of_a_certificate_are_ignored() -> None:
    """Only its key is read."""
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
        read_or_refuse({"private.pem": damaged.encode(), "passphrase": PASSPHRASE.encode()})

    check()


@HOSTILE
@given(cipher=st.sampled_from(["AES-128-CBC", "AES-256-CBC", "DES-EDE3-CBC", "AES-192-CBC"]), iv=st.binary(max_size=40))
def test_any_classic_header_is_refused(cipher: str, iv: bytes) -> None:
    """With any cipher and any IV in a DEK-Info line."""
    pem = classic_with("-aes128").splitlines()
    pem[2] = f"DEK-Info: {cipher},{iv.hex()}"
    read_or_refuse({"private.pem": "\n".join(pem).encode(), "passphrase": PASSPHRASE.encode()})


@HOSTILE
@given(text=st.text(st.sampled_from("-BEGINPULCKYD \\n\n\r\0\xa0ä€\u2028\ud800\U0001f511=MIab+/"), max_size=300))
def test_any_answer_is_a_key_or_none_or_unreadable(text: str) -> None:
    """Any text raises nothing but UnreadableKey."""
    for answer in (text, f"-----BEGIN PUBLIC KEY-----{text}-----END PUBLIC KEY-----"):
        try:
            fingerprint = remote_fingerprint(answer)
        except UnreadableKey:
            continue
        assert fingerprint is None or fingerprint.startswith("sha256:")


@HOSTILE
@given(change=damage(294))
def test_a_damaged_answer_is_never_our_key(change: Callable[[bytes], bytes]) -> None:
    """A key that differs by a byte has another fingerprint, or none."""
    ours = der_of(plain().public)
    damaged = change(ours)
    try:
        fingerprint = remote_fingerprint(armored("PUBLIC KEY", damaged))
    except UnreadableKey:
        return
    assert (fingerprint == plain().fingerprint) == (damaged == ours)


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
def test_large_content_is_refused_quickly(content: bytes) -> None:
    """Within the size limit the time is linear."""
    with pytest.raises(InvalidKey):
        public_key_from_secret({"public.pem": content}, entry=None, passphrase_entry=None)
