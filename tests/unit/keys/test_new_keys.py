"""New keys, as the operator and the real OpenSSL read them, and where they are put."""

import subprocess
from pathlib import Path

import pytest

from bek_operator.keys.public_key import InvalidKey, public_key_from_secret
from bek_operator.keys.rotation import NewKey, generate, read, replaced
from support import keys

OLD = {"private.pem": keys.rsa().private.encode()}
NEXT = keys.rsa("second")
PHRASE = {"passphrase": b"open sesame\n"}


@pytest.fixture(name="new", scope="module")
def new_fixture() -> NewKey:
    """A key that was made before."""
    return read(NEXT.private.encode(), {}, None)


@pytest.mark.parametrize(("data", "entry"), [({}, None), (PHRASE, "passphrase")])
def test_a_new_key_is_one_that_openssl_reads(data: dict[str, bytes], entry: str | None, tmp_path: Path) -> None:
    """RSA with 2048 bits, encrypted with the passphrase of the Secret where it has one; no repr shows it."""
    made, again = generate(data, entry), generate(data, entry)
    file = tmp_path / "private.pem"
    file.write_bytes(made.private)
    phrase = ["-passin", "pass:open sesame"] if entry else []
    shown = subprocess.run(
        ["openssl", "rsa", "-in", str(file), *phrase, "-pubout"], check=True, capture_output=True, text=True
    )

    assert keys.fingerprint(shown.stdout) == made.public.fingerprint != again.public.fingerprint
    assert made.private.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY" if entry else b"-----BEGIN PRIVATE KEY")
    assert "PRIVATE" not in repr(made)


def test_a_passphrase_that_is_missing() -> None:
    """No key is made without encryption then."""
    with pytest.raises(InvalidKey, match="no entry passphrase"):
        generate(OLD, "passphrase")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (NEXT.public, "the file has no private key"),
        ("nonsense", "the file "),
        (keys.rsa("short", 1024).private, "the file is an RSA key of 1024 bits"),
    ],
)
def test_files_that_are_no_new_key(content: str, fault: str) -> None:
    """They are refused."""
    with pytest.raises(InvalidKey, match=fault):
        read(content.encode(), {}, None)


@pytest.mark.parametrize(
    ("data", "entry", "changed"),
    [
        (OLD, None, {"private.pem": NEXT.private, "previous-private.pem": keys.rsa().private}),
        ({"public.pem": keys.rsa().public.encode()}, None, {"public.pem": NEXT.public}),
        (
            {**OLD, "public.pem": keys.rsa().public.encode()},
            None,
            {"private.pem": NEXT.private, "previous-private.pem": keys.rsa().private, "public.pem": NEXT.public},
        ),
        (
            {**OLD, "flows": keys.rsa("third").private.encode()},
            "flows",
            {"flows": NEXT.private, "previous-flows": keys.rsa("third").private},
        ),
        ({"private.pem": NEXT.private.encode()}, None, {}),
    ],
)
def test_a_key_is_put_where_the_old_one_is(
    new: NewKey, data: dict[str, bytes], entry: str | None, changed: dict[str, str]
) -> None:
    """In every entry that is read, and the old private key stays in an entry that is not."""
    found = replaced(data, entry, None, new)

    assert {name: content.decode().strip() for name, content in found.items()} == {
        name: text.strip() for name, text in changed.items()
    }
    assert public_key_from_secret({**data, **found}, entry=entry, passphrase_entry=None) == new.public


@pytest.mark.parametrize(
    ("data", "entry", "phrase", "fault"),
    [
        ({}, None, None, "the Secret has none of"),
        ({"private.pem": b"nonsense"}, None, None, "private.pem cannot be read, so it is not replaced"),
        ({"tls.crt": keys.certificate_of(keys.rsa().private).encode()}, None, None, "tls.crt has a certificate"),
        (OLD, None, "passphrase", "the Secret has no entry passphrase"),
    ],
)
def test_what_is_not_replaced(
    new: NewKey, data: dict[str, bytes], entry: str | None, phrase: str | None, fault: str
) -> None:
    """The message says why."""
    encrypted = read(keys.encrypted().private.encode(), {"p": b"open sesame"}, "p") if phrase else new
    with pytest.raises(InvalidKey, match=fault):
        replaced(data, entry, phrase, encrypted)
