"""The test keys are what OpenSSL makes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support import keys


class TestKeys:
    """The test keys are what OpenSSL makes."""

    def test_fingerprint(self, tmp_path: Path) -> None:
        """The fingerprint is the one that OpenSSL computes."""
        der = str(tmp_path / "key.der")
        keys.openssl("pkey", "-pubin", "-outform", "DER", "-out", der, text=keys.rsa().public)
        digest = keys.openssl("dgst", "-sha256", "-r", der).split()[0]
        assert keys.rsa().fingerprint == f"sha256:{digest}"

    @pytest.mark.parametrize(
        ("make", "head"),
        [
            (lambda: keys.rsa().private, "-----BEGIN PRIVATE KEY"),
            (lambda: keys.classic(keys.rsa().private), "-----BEGIN RSA PRIVATE KEY"),
            (lambda: keys.encrypted().private, "-----BEGIN ENCRYPTED PRIVATE KEY"),
            (lambda: keys.encrypted_classic().private, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED"),
            (lambda: keys.elliptic().private, "-----BEGIN EC PRIVATE KEY"),
            (lambda: keys.rsa().public, "-----BEGIN PUBLIC KEY"),
            (lambda: keys.classic_public_of(keys.rsa().private), "-----BEGIN RSA PUBLIC KEY"),
            (lambda: keys.certificate_of(keys.rsa().private), "-----BEGIN CERTIFICATE"),
        ],
    )
    def test_formats(self, make: Callable[[], str], head: str) -> None:
        """Each way of making a key gives the format that it is for."""
        assert make().startswith(head)

    def test_names(self) -> None:
        """A name stands for one key."""
        assert keys.rsa("first") == keys.rsa("first")
        assert keys.rsa("first").fingerprint != keys.rsa("second").fingerprint

    def test_certificate(self) -> None:
        """A certificate's public key is the pair's."""
        certificate = keys.certificate_of(keys.rsa().private)
        assert keys.public_of_certificate(certificate) == keys.rsa().public
        assert keys.fingerprint(certificate) == keys.rsa().fingerprint
