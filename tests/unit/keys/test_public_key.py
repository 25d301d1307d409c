"""The public key of a Secret: entries and forms."""

import base64
import re
import traceback
from collections.abc import Callable

import pytest

from bek_operator.keys.public_key import ENTRIES, InvalidKey, PublicKey, public_key_from_secret
from support import keys
from support.key_samples import Secret, armored, certificate, der_of, elliptic_certificate, plain, read, refusal


def relabelled(pem: str, label: str) -> str:
    """Return a PEM with another label."""
    return armored(label, der_of(pem))


def base64_of(text: str) -> str:
    """Encode a text once, wrapped as `base64` does."""
    return base64.encodebytes(text.encode()).decode()


ACCEPTED: dict[str, Callable[[], str]] = {
    "a PKCS#8 private key, what openssl genrsa writes": lambda: plain().private,
    "a PKCS#1 private key, what cert-manager writes": lambda: keys.classic(plain().private),
    "a public key, what openssl rsa -pubout writes": lambda: plain().public,
    "a PKCS#1 public key": lambda: keys.classic_public_of(plain().private),
    "a certificate": certificate,
    "a certificate under its old label": lambda: certificate().replace("CERTIFICATE", "X509 CERTIFICATE"),
    "what openssl x509 -pubkey writes": lambda: keys.public_of_certificate(certificate()),
    "a certificate chain, of which the first counts": lambda: (
        certificate() + keys.certificate_of(keys.rsa("second").private) + elliptic_certificate()
    ),
    "a key with its own certificate": lambda: plain().private + certificate(),
    "a key with its own certificate before it": lambda: certificate() + plain().private,
    "a key and its public half": lambda: plain().private + plain().public,
    "the same key twice": lambda: plain().private * 2,
    "text around the blocks": lambda: (
        f"Bag Attributes\n    friendlyName: tür\nKey Attributes: <No Attributes>\n{plain().private}\n# end\n"
    ),
    "CRLF": lambda: plain().public.replace("\n", "\r\n"),
    "no newline at the end": lambda: plain().public[:-1],
    "literal \\n": lambda: plain().public.replace("\n", "\\n"),
    "literal \\r\\n": lambda: plain().public.replace("\n", "\\r\\n"),
    "literal \\n, escaped twice": lambda: plain().public.replace("\n", "\\\\n"),
    "literal \\n in quotes": lambda: '"' + plain().public.replace("\n", "\\n") + '"',
    "escaped slashes": lambda: plain().public.replace("/", "\\/"),
    "lines folded into one": lambda: plain().public.replace("\n", " "),
    "no line breaks at all": lambda: plain().public.replace("\n", ""),
    "indentation": lambda: plain().public.replace("\n", "\n    "),
    "a byte order mark": lambda: "\ufeff" + plain().public,
    "PKCS#8 under the label of PKCS#1, as some libraries for Java write it": lambda: relabelled(
        plain().private, "RSA PRIVATE KEY"
    ),
    "PKCS#1 under the label of PKCS#8": lambda: relabelled(keys.classic(plain().private), "PRIVATE KEY"),
    "a plain key under the label of an encrypted one": lambda: relabelled(plain().private, "ENCRYPTED PRIVATE KEY"),
    "a public key under the label of PKCS#1": lambda: relabelled(plain().public, "RSA PUBLIC KEY"),
    "a PKCS#1 public key under the other label": lambda: relabelled(
        keys.classic_public_of(plain().private), "PUBLIC KEY"
    ),
    "a public key under the label of a certificate": lambda: relabelled(plain().public, "CERTIFICATE"),
    "a certificate under the label of a public key": lambda: relabelled(certificate(), "PUBLIC KEY"),
    "a private key under the label of a public one": lambda: relabelled(plain().private, "PUBLIC KEY"),
    "a certificate under the label of a private key": lambda: relabelled(certificate(), "PRIVATE KEY"),
    "an RSA key under the label of an EC key": lambda: relabelled(plain().private, "EC PRIVATE KEY"),
    "a key with an unknown label": lambda: relabelled(plain().public, "KEY"),
    "base64 of the PEM, as of data for stringData": lambda: base64_of(plain().private),
    "base64 of the PEM on one line, in quotes": lambda: f'"{base64_of(plain().private)}"'.replace("\n", ""),
    "base64 of base64 of the PEM": lambda: base64_of(base64_of(plain().private)),
    "base64 of a PEM with literal \\n": lambda: base64_of(plain().public.replace("\n", "\\n")),
    "no BEGIN and END lines": lambda: plain().private.split("-----")[2],
    "no BEGIN and END lines, of a certificate": lambda: certificate().split("-----")[2],
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_every_form_of_a_key_gives_the_same_public_key(text: Callable[[], str]) -> None:
    """It is published as SubjectPublicKeyInfo."""
    key = read({"private.pem": text()})
    assert key == PublicKey(pem=plain().public, fingerprint=plain().fingerprint)


BINARY: dict[str, Callable[[], str]] = {
    "PKCS#8": lambda: plain().private,
    "PKCS#1": lambda: keys.classic(plain().private),
    "a public key": lambda: plain().public,
    "a PKCS#1 public key": lambda: keys.classic_public_of(plain().private),
    "a certificate": certificate,
}


@pytest.mark.parametrize("pem", BINARY.values(), ids=BINARY.keys())
def test_binary_der_is_read(pem: Callable[[], str]) -> None:
    """Such as key.der of cert-manager."""
    assert read({"key.der": der_of(pem())}, entry="key.der").pem == plain().public


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "latin-1"])
def test_other_encodings_of_the_text_are_read(encoding: str) -> None:
    """UTF-16, as PowerShell writes it, and Latin-1 around the blocks."""
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    assert read({"public.pem": f"{mark}Schlüssel\n{plain().public}".encode(encoding)}).pem == plain().public


def test_the_published_pem_has_lf_newlines() -> None:
    """With one at the end."""
    pem = read({"tls.crt": certificate().replace("\n", "\r\n")}).pem
    assert pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert pem.endswith("-----END PUBLIC KEY-----\n")
    assert "\r" not in pem


def test_the_key_id_is_the_beginning_of_the_fingerprint() -> None:
    """Its first twelve of 64 hex digits."""
    key = read({"public.pem": plain().public})
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", key.fingerprint)
    assert key.key_id == key.fingerprint[7:19]


def test_a_public_key_shows_its_fingerprint_only() -> None:
    """Its repr does not show the PEM."""
    key = read({"public.pem": plain().public})
    assert repr(key) == f"PublicKey(fingerprint='{key.fingerprint}')"


def test_the_secret_of_a_cert_manager_certificate_is_read() -> None:
    """From key and chain; ca.crt is not read."""
    chain = certificate() + keys.certificate_of(keys.rsa("second").private)
    for private in (plain().private, keys.classic(plain().private)):
        secret = {"tls.key": private, "tls.crt": chain, "ca.crt": elliptic_certificate()}
        assert read(secret).pem == plain().public


@pytest.mark.parametrize("name", ENTRIES)
def test_each_of_the_known_entries_is_enough(name: str) -> None:
    """Any one can hold the key."""
    assert read({name: plain().private, "other.pem": "no key"}).pem == plain().public


def test_all_of_the_known_entries_can_be_present() -> None:
    """If they hold the same key."""
    secret = {
        "public.pem": plain().public,
        "private.pem": plain().private,
        "tls.crt": certificate(),
        "tls.key": keys.classic(plain().private),
    }
    assert read(secret).pem == plain().public


def test_a_blank_entry_beside_a_key_is_ignored() -> None:
    """A Secret of type kubernetes.io/tls always has both entries."""
    assert read({"tls.key": plain().private, "tls.crt": ""}).pem == plain().public


def test_only_a_named_entry_is_read() -> None:
    """The others can hold anything."""
    secret = {"flows.pem": plain().private, "public.pem": "no key", "tls.crt": elliptic_certificate()}
    assert read(secret, entry="flows.pem").pem == plain().public


def test_entries_that_disagree_are_refused() -> None:
    """The message names both entries."""
    secret = {"tls.key": keys.rsa("second").private, "tls.crt": certificate()}
    assert refusal(secret) == "tls.crt and tls.key are different keys; they must be the same"


def test_one_unusable_entry_of_several_is_refused() -> None:
    """The others are not used instead."""
    secret = {"public.pem": plain().public, "tls.crt": elliptic_certificate()}
    assert refusal(secret) == "tls.crt is an EC key; an RSA key of 2048 bits is needed"


NONE_OF_THEM = "the Secret has none of public.pem, private.pem, tls.crt, tls.key; name an entry in keySecretRef.key"

MISSING: dict[str, tuple[Secret, str | None, str]] = {
    "no Secret data": ({}, None, f"{NONE_OF_THEM}; it is empty"),
    "none of the known entries": (
        {"key.pem": "", "cert.pem": ""},
        None,
        f"{NONE_OF_THEM}; it has cert.pem, key.pem",
    ),
    "another entry than the named one": (
        {"private.pem": ""},
        "key.pem",
        "the Secret has no entry key.pem; it has private.pem",
    ),
    "many other entries": (
        {f"entry-{number}": "" for number in range(9)},
        "key.pem",
        "the Secret has no entry key.pem; it has entry-0, entry-1, entry-2, entry-3 and others",
    ),
    "only blank entries": (
        {"tls.crt": "", "tls.key": ""},
        None,
        "tls.crt is empty; an RSA key of 2048 bits is needed",
    ),
}


@pytest.mark.parametrize(("secret", "entry", "expected"), MISSING.values(), ids=MISSING.keys())
def test_a_missing_entry_is_refused_with_the_present_ones(secret: Secret, entry: str | None, expected: str) -> None:
    """The message lists some entries."""
    assert refusal(secret, entry=entry) == expected


@pytest.mark.parametrize("entry", [None, "y" * 253])
def test_a_message_stays_within_its_bound(entry: str | None) -> None:
    """It fits into a status row, however long the names are."""
    message = refusal({f"{number}{'x' * 250}": "" for number in range(9)}, entry=entry)
    assert len(message) <= 256
    assert message.endswith(" and others")


def test_a_longer_message_is_truncated() -> None:
    """It ends with an ellipsis."""
    assert str(InvalidKey("x" * 257)) == "x" * 255 + "…"


def test_a_refusal_shows_no_key_material() -> None:
    """Neither message nor traceback quotes the key or the passphrase, and there is no cause."""
    private = keys.encrypted().private
    secret = {"private.pem": private.encode(), "passphrase": b"hunter2"}
    with pytest.raises(InvalidKey) as caught:
        public_key_from_secret(secret, entry=None, passphrase_entry="passphrase")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "hunter2" not in shown
    assert not any(line in shown for line in private.splitlines())
    assert shown.count("Traceback") == 1
