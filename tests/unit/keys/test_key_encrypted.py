"""Encrypted private keys: supported encryption, passphrases, and bounded cost."""

import base64
import hashlib
import re
import subprocess
from collections.abc import Callable

import pytest

from support import der, keys
from support.key_samples import (
    PASSPHRASE,
    Secret,
    armored,
    classic_with,
    der_of,
    encrypted,
    encrypted_with,
    plain,
    read,
    refusal,
    signing_key,
)


def without_newlines(pem: str, *, around: str = "") -> str:
    """Join the header lines of the classic encryption, and the body, with another separator than newlines."""
    head, _, rest = pem.partition("-----\n")
    body, _, end = rest.partition("-----END")
    return f"{head}-----\n{around.join(body.split(chr(10)))}\n-----END{end}"


LEGACY = ("-provider", "legacy", "-provider", "default")


def classic_around_pkcs8() -> str:
    """Encrypt PKCS#8 as OpenSSL 1 encrypted PKCS#1, which no version of OpenSSL does."""
    iv, key = bytes(range(16)), b""
    while len(key) < 32:
        key += hashlib.md5(key[-16:] + PASSPHRASE.encode() + iv[:8], usedforsecurity=False).digest()
    command = ("enc", "-aes-256-cbc", "-K", key.hex(), "-iv", iv.hex(), "-base64")
    body = subprocess.run(["openssl", *command], input=der_of(plain().private), capture_output=True, check=True).stdout
    header = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,{iv.hex()}\n\n"
    return f"-----BEGIN RSA PRIVATE KEY-----\n{header}{body.decode()}-----END RSA PRIVATE KEY-----\n"


OPENED: dict[str, Callable[[], str]] = {
    "openssl pkcs8 -topk8": encrypted_with,
    "openssl rsa -des3 of OpenSSL 1": lambda: classic_with("-des3"),
    "openssl rsa -aes128 of OpenSSL 1": lambda: classic_with("-aes128"),
    "openssl rsa -aes256 of OpenSSL 1": lambda: classic_with("-aes256"),
    "OpenSSL 1, lines folded into one": lambda: classic_with("-aes256").replace("\n", " "),
    "OpenSSL 1, literal \\n": lambda: classic_with("-aes256").replace("\n", "\\n"),
    "openssl rsa -aes192 of OpenSSL 1": lambda: classic_with("-aes192"),
    "OpenSSL 1, all of it run together": lambda: without_newlines(classic_with("-aes256")),
    "OpenSSL 1 with triple DES, all of it run together": lambda: without_newlines(classic_with("-des3")),
    "OpenSSL 1, header lines run together": lambda: re.sub(
        r"ENCRYPTED\nDEK-Info: ([A-Z0-9,-]+)\n\n", r"ENCRYPTEDDEK-Info: \1\n", classic_with("-aes128")
    ),
    "OpenSSL 1, start value and body run together": lambda: re.sub(
        r"(DEK-Info: [A-Z0-9,-]+)\n\n", r"\1", classic_with("-aes128")
    ),
    "OpenSSL 1, no blanks either": lambda: without_newlines(classic_with("-aes256")).replace(": ", ":"),
    "OpenSSL 1 under another label": lambda: classic_with("-aes256").replace("RSA PRIVATE", "PRIVATE"),
    "OpenSSL 1's encryption of PKCS#8": classic_around_pkcs8,
    "encrypted PKCS#8 under the label of PKCS#1": lambda: armored("RSA PRIVATE KEY", der_of(encrypted_with())),
    "encrypted PKCS#8 under the label of PKCS#8": lambda: armored("PRIVATE KEY", der_of(encrypted_with())),
    "base64 of an encrypted key": lambda: base64.b64encode(encrypted_with().encode()).decode(),
    "base64 of what OpenSSL 1 encrypted": lambda: base64.b64encode(classic_with("-aes256").encode()).decode(),
    "PBKDF2 with SHA-1": lambda: encrypted_with("-v2prf", "hmacWithSHA1"),
    "PBKDF2 with SHA-224": lambda: encrypted_with("-v2prf", "hmacWithSHA224"),
    "PBKDF2 with SHA-256": lambda: encrypted_with("-v2prf", "hmacWithSHA256"),
    "PBKDF2 with SHA-384": lambda: encrypted_with("-v2prf", "hmacWithSHA384"),
    "PBKDF2 with SHA-512": lambda: encrypted_with("-v2prf", "hmacWithSHA512"),
    "PBKDF2 with as many rounds as are accepted": lambda: encrypted_with("-iter", "1000000"),
    "AES-128 within PBES2": lambda: encrypted_with("-v2", "aes128"),
    "AES-192 within PBES2": lambda: encrypted_with("-v2", "aes192"),
    "AES-256 within PBES2": lambda: encrypted_with("-v2", "aes256"),
    "triple DES within PBES2": lambda: encrypted_with("-v2", "des3"),
    "scrypt": lambda: encrypted_with("-scrypt"),
    "scrypt of as high a cost as is accepted": lambda: encrypted(der_of(plain().private), scrypt=(2**10, 255, 2)),
    "the triple DES of PKCS#12": lambda: encrypted_with("-v1", "PBE-SHA1-3DES"),
    "MD5 and DES, of OpenSSL before 1.1": lambda: encrypted_with("-v1", "PBE-MD5-DES", *LEGACY),
}


@pytest.mark.parametrize("private", OPENED.values(), ids=OPENED.keys())
def test_an_encrypted_key_is_decrypted_with_its_passphrase(private: Callable[[], str]) -> None:
    """In the formats that OpenSSL writes and has written."""
    key = read({"private.pem": private(), "passphrase": PASSPHRASE}, passphrase="passphrase")
    assert key.pem == plain().public


@pytest.mark.parametrize("costs", [(2**10, 255, 2), (2**14, 15, 1), (2**10, 256, 2), (2**15, 8, 1)], ids=str)
def test_scrypt_may_take_the_memory_that_openssl_allows(costs: tuple[int, int, int]) -> None:
    """A key that is refused for its memory is one that `openssl pkey` does not read either."""
    private = encrypted(der_of(plain().private), scrypt=costs)
    command = ["openssl", "pkey", "-noout", "-passin", f"pass:{PASSPHRASE}"]
    openssl = subprocess.run(command, input=private.encode(), capture_output=True, check=False)
    secret = {"private.pem": private, "passphrase": PASSPHRASE}
    if openssl.returncode:
        assert b"memory limit exceeded" in openssl.stderr
        assert "the most that OpenSSL reads" in refusal(secret, passphrase="passphrase")
    else:
        assert read(secret, passphrase="passphrase").pem == plain().public


@pytest.mark.parametrize("pair", [keys.encrypted, keys.encrypted_classic], ids=["OpenSSL 3", "OpenSSL 1"])
def test_output_of_genrsa_des3_is_decrypted(pair: Callable[[], keys.KeyPair]) -> None:
    """It is the first command of the API's documentation."""
    secret = {"private.pem": pair().private, "passphrase": pair().passphrase or ""}
    assert read(secret, passphrase="passphrase").fingerprint == pair().fingerprint


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_newline_after_the_passphrase_is_ignored(ending: str) -> None:
    """Editors add one."""
    secret = {"private.pem": encrypted_with(), "passphrase": PASSPHRASE + ending}
    assert read(secret, passphrase="passphrase").pem == plain().public


def test_a_passphrase_can_end_with_a_newline() -> None:
    """The unchanged passphrase is tried first."""
    private = encrypted_with("-passout", f"pass:{PASSPHRASE}\n")
    secret = {"private.pem": private, "passphrase": f"{PASSPHRASE}\n"}
    assert read(secret, passphrase="passphrase").pem == plain().public


@pytest.mark.parametrize("passphrase", [None, "passphrase"])
def test_the_passphrase_entry_is_not_read_for_a_plain_key(passphrase: str | None) -> None:
    """It can be missing or unused."""
    assert read({"private.pem": plain().private}, passphrase=passphrase).pem == plain().public
    secret = {"private.pem": plain().private, "passphrase": "for nothing"}
    assert read(secret, passphrase=passphrase).pem == plain().public


def test_an_encrypted_key_beside_its_public_part_needs_no_passphrase() -> None:
    """Without a passphrase the public part is used, in another entry or in the same one."""
    private, public = encrypted_with(), plain().public
    assert read({"private.pem": private, "public.pem": public}).pem == public
    assert read({"private.pem": private + public}).pem == public


def test_a_wrong_passphrase_is_refused_even_beside_a_public_part() -> None:
    """The business's Flows endpoint could not decrypt the key, either."""
    secret = {"private.pem": encrypted_with(), "public.pem": plain().public, "passphrase": "wrong"}
    assert refusal(secret, passphrase="passphrase") == f"private.pem {WRONG}"


def test_a_decrypted_key_must_match_the_public_part() -> None:
    """With a passphrase both are compared."""
    secret = {"private.pem": encrypted_with(), "public.pem": keys.rsa("second").public, "p": PASSPHRASE}
    assert refusal(secret, passphrase="p") == ("public.pem and private.pem are different keys; they must be the same")


@pytest.mark.parametrize("private", [encrypted_with, lambda: classic_with("-des3")], ids=["PKCS#8", "PKCS#1"])
def test_an_encrypted_key_alone_needs_a_passphrase(private: Callable[[], str]) -> None:
    """The message names the field for it."""
    expected = "private.pem is encrypted; set keySecretRef.passphraseKey to the entry with its passphrase"
    assert refusal({"private.pem": private()}) == expected


BAD_PASSPHRASES: dict[str, tuple[Secret, str]] = {
    "missing": (
        {"other": ""},
        "the Secret has no entry passphrase, which keySecretRef.passphraseKey names; it has other, private.pem",
    ),
    "empty": ({"passphrase": ""}, "passphrase is empty; the passphrase of the private key is needed"),
    "a newline": ({"passphrase": "\r\n"}, "passphrase is empty; the passphrase of the private key is needed"),
    "too long": ({"passphrase": "x" * 1025}, "passphrase is too long for a passphrase: over 1024 bytes"),
}


@pytest.mark.parametrize(("entries", "expected"), BAD_PASSPHRASES.values(), ids=BAD_PASSPHRASES.keys())
def test_an_unusable_passphrase_entry_is_refused(entries: Secret, expected: str) -> None:
    """Missing, empty or too long."""
    secret = {"private.pem": encrypted_with(), **entries}
    assert refusal(secret, passphrase="passphrase") == expected


@pytest.mark.parametrize("passphrase", [b"\xff\xfe", b"x" * 1024, b"\0"])
def test_a_passphrase_can_be_any_bytes(passphrase: bytes) -> None:
    """Also bytes that are not text, with every scheme."""
    for private in (encrypted_with(), encrypted_with("-v1", "PBE-SHA1-3DES"), classic_with("-aes128")):
        secret: Secret = {"private.pem": private, "p": passphrase}
        assert refusal(secret, passphrase="p") == f"private.pem {WRONG}"


PKCS12 = "1.2.840.113549.1.12.1.3"


def derivation(oid: str, costs: tuple[int, ...], salt: bytes = bytes(8)) -> bytes:
    """Return the AlgorithmIdentifier of a derivation with these costs."""
    parameters = der.sequence(der.octets(salt), *map(der.integer, costs)) if costs else b""
    return der.sequence(der.oid(oid), parameters)


def asking(oid: str, *costs: int, salt: bytes = bytes(8)) -> str:
    """Return an undecryptable PBES2 key with this derivation."""
    cipher = der.sequence(der.oid(der.AES_256), der.octets(bytes(16)))
    algorithm = der.sequence(der.oid(der.PBES2), der.sequence(derivation(oid, costs, salt), cipher))
    return armored(LABEL, der.sequence(algorithm, der.octets(bytes(16))))


def asking_other(oid: str, *costs: int) -> str:
    """Return an undecryptable key of another scheme with this cost."""
    return armored(LABEL, der.sequence(derivation(oid, costs), der.octets(bytes(16))))


LABEL = "ENCRYPTED PRIVATE KEY"
NEEDED = "an RSA key of 2048 bits is needed"
UNREADABLE = f"is not a readable private key: damaged, truncated or of an unknown kind; {NEEDED}"
ACCEPTED_INSTEAD = "encrypt it with openssl rsa -aes256"
COST = (
    "declares an unsupported key-derivation cost (at most 1,000,000 rounds; of scrypt 32 MiB, the most that OpenSSL "
    f"reads); {ACCEPTED_INSTEAD}"
)
UNSUPPORTED = f"is encrypted in a way that is not supported; {ACCEPTED_INSTEAD}"
WRONG = "cannot be decrypted: the passphrase is wrong, or the key is damaged or its encryption is not supported"

NOT_OPENED: dict[str, tuple[Callable[[], str], str]] = {
    "another passphrase": (lambda: encrypted_with("-passout", "pass:another"), WRONG),
    "another passphrase, OpenSSL 1": (lambda: keys.encrypted_classic(passphrase="another").private, WRONG),
    "as many rounds as are accepted": (lambda: asking(der.PBKDF2, 1_000_000), WRONG),
    "one round more": (lambda: asking(der.PBKDF2, 1_000_001), COST),
    "2^31 rounds": (lambda: asking(der.PBKDF2, 2**31), COST),
    "as many rounds as can be written": (lambda: asking(der.PBKDF2, 2**64 - 1), COST),
    "more rounds than a machine word": (lambda: asking(der.PBKDF2, 2**64), COST),
    "an enormous number of rounds": (lambda: asking(der.PBKDF2, 2**300_000), COST),
    "no rounds": (lambda: asking(der.PBKDF2, 0), COST),
    "less than no rounds": (lambda: asking(der.PBKDF2, -1), COST),
    "as much of scrypt as is accepted": (lambda: asking(der.SCRYPT, 2**10, 255, 2), WRONG),
    "more memory for scrypt": (lambda: asking(der.SCRYPT, 2**10, 256, 2), COST),
    "more work for scrypt in the same memory": (lambda: asking(der.SCRYPT, 2**14, 8, 5), COST),
    "wide blocks in scrypt": (lambda: asking(der.SCRYPT, 2, 2**30, 1), COST),
    "many lanes in scrypt": (lambda: asking(der.SCRYPT, 2, 1, 2**30), COST),
    "enormous numbers in scrypt": (lambda: asking(der.SCRYPT, *[2**100_000] * 3), COST),
    "negative numbers in scrypt": (lambda: asking(der.SCRYPT, -2, -8, 1), COST),
    "no blocks in scrypt": (lambda: asking(der.SCRYPT, 2**60, 0, 1), COST),
    "scrypt with a cost that is no power of two": (lambda: asking(der.SCRYPT, 1000, 8, 1), COST),
    "scrypt with a cost of one": (lambda: asking(der.SCRYPT, 1, 8, 1), COST),
    "as little of scrypt as there is": (lambda: asking(der.SCRYPT, 2, 1, 1), WRONG),
    "scrypt with blocks too small for its cost": (lambda: asking(der.SCRYPT, 2**16, 1, 1), COST),
    "scrypt with blocks as wide as are accepted": (lambda: asking(der.SCRYPT, 2, 52_428, 1), WRONG),
    "scrypt with wider blocks, of little work": (lambda: asking(der.SCRYPT, 2, 52_429, 1), COST),
    "as much salt as is accepted": (lambda: asking(der.PBKDF2, 1, salt=bytes(1024)), WRONG),
    "more salt": (lambda: asking(der.PBKDF2, 1, salt=bytes(1025)), COST),
    "an older scheme with 2^31 rounds": (lambda: asking_other(PKCS12, 2**31), COST),
    "a scheme that is not known": (lambda: asking_other(der.NOBODY, 2048), UNSUPPORTED),
    "a scheme that is not known, without parameters": (
        lambda: asking_other(der.NOBODY),
        "is damaged or truncated: its encryption parameters cannot be read",
    ),
    "a derivation that is not known": (lambda: asking(der.NOBODY, 2048), UNSUPPORTED),
    "a hash that is not known": (lambda: encrypted_with("-v2prf", "hmacWithSHA512-256"), UNSUPPORTED),
    "a cipher that is not known": (lambda: encrypted_with("-v2", "camellia-256-cbc"), UNSUPPORTED),
    "RC2 with 40 bits": (lambda: encrypted_with("-v1", "PBE-SHA1-RC2-40", *LEGACY), UNSUPPORTED),
    "a start value that is too short": (lambda: encrypted(der_of(plain().private), iv=bytes(14)), WRONG),
    "a header that is cut off": (lambda: armored(LABEL, der_of(encrypted_with())[:60]), UNREADABLE),
    "a classic cipher that is not known": (
        lambda: classic_with("-camellia256"),
        (
            "is encrypted with a cipher other than AES-128-CBC, AES-192-CBC, AES-256-CBC, DES-EDE3-CBC; "
            f"{ACCEPTED_INSTEAD}"
        ),
    ),
    "a classic header that is too short": (
        lambda: re.sub(r"(AES-256-CBC,[0-9A-F]{16})[0-9A-F]+", r"\1", classic_with("-aes256")),
        "is damaged: its DEK-Info line is too short or too long",
    ),
    "a classic header that is no hexadecimal": (
        lambda: re.sub(r"(AES-256-CBC,)[0-9A-F]{4}", r"\1xxxx", classic_with("-aes256")),
        "is damaged: its DEK-Info line is too short or too long",
    ),
    "an EC key": (lambda: encrypted_with(private=keys.elliptic().private), f"is an EC key; {NEEDED}"),
    "an EC key on a curve of its own": (
        lambda: encrypted_with(private=keys.elliptic("secp128r1").private),
        f"is an EC key; {NEEDED}",
    ),
    "an EC key, encrypted by OpenSSL 1": (
        lambda: keys.openssl("ec", "-aes256", "-passout", f"pass:{PASSPHRASE}", text=keys.elliptic().private),
        f"holds an EC key; {NEEDED}",
    ),
    "an RSA-PSS key": (
        lambda: encrypted_with(private=signing_key()),
        f"is an RSA-PSS key, which can only sign; {NEEDED}",
    ),
    "an encrypted key in an encrypted key": (lambda: encrypted(der_of(encrypted_with())), WRONG),
    "a public key": (lambda: encrypted(der_of(plain().public)), WRONG),
    "a large DSA key": (
        lambda: encrypted(der.private_key_info(der.DSA, 40_000)),
        f"is a DSA key; {NEEDED}",
    ),
    "a large RSA key": (
        lambda: encrypted(der.private_key_info(der.RSA, 16_384)),
        f"is an RSA key of 16384 bits; {NEEDED}",
    ),
    "a 1024-bit key": (
        lambda: encrypted_with(private=keys.rsa("small", 1024).private),
        f"is an RSA key of 1024 bits; {NEEDED}",
    ),
}


@pytest.mark.parametrize(("content", "expected"), NOT_OPENED.values(), ids=NOT_OPENED.keys())
def test_an_undecryptable_key_is_refused(content: Callable[[], str], expected: str) -> None:
    """The message says why; an excessive cost is refused before deriving a key."""
    secret = {"private.pem": content(), "passphrase": PASSPHRASE}
    assert refusal(secret, passphrase="passphrase") == f"private.pem {expected}"
