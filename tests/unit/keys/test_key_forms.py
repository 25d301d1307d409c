"""What form key material has, in words."""

from __future__ import annotations

import pytest

from bek_operator.keys.forms import forms_of
from support import keys

PAIR = keys.rsa()


def test_each_entry_that_is_read_is_described() -> None:
    """Entries of other names are not."""
    found = forms_of({"private.pem": PAIR.private.encode(), "public.pem": PAIR.public.encode(), "ca.crt": b"x"}, None)
    assert found == {"public.pem": ["public key (PUBLIC KEY)"], "private.pem": ["private key (PRIVATE KEY)"]}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (PAIR.private, "private key (PRIVATE KEY)"),
        (keys.classic(PAIR.private), "private key (RSA PRIVATE KEY)"),
        (keys.encrypted().private, "encrypted private key (ENCRYPTED PRIVATE KEY)"),
        (keys.encrypted_classic().private, "encrypted private key (RSA PRIVATE KEY)"),
        (keys.certificate_of(PAIR.private), "certificate (CERTIFICATE)"),
    ],
)
def test_the_forms(text: str, form: str) -> None:
    """With the label that OpenSSL writes."""
    assert forms_of({"mine": text.encode()}, "mine") == {"mine": [form]}


@pytest.mark.parametrize("raw", [b"nonsense", b"x" * 65_537, b""])
def test_what_cannot_be_read_has_no_form(raw: bytes) -> None:
    """The message of the refusal says why."""
    assert not forms_of({"mine": raw}, "mine")["mine"]


def test_an_unknown_label_is_not_shown() -> None:
    """It is arbitrary text."""
    text = PAIR.public.replace("PUBLIC KEY", "SECRET WORDS").encode()
    assert forms_of({"mine": text}, "mine") == {"mine": ["public key (DER, or a PEM without a known label)"]}
