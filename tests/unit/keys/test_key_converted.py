"""Unsupported formats: the message names the format and the command that converts it."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support import keys
from support.key_samples import armored, certificate, certificate_request, plain, read, refusal

NEEDED = "an RSA key of 2048 bits is needed"


def pkcs12(folder: Path) -> bytes:
    """Return a keystore with the pair and its certificate, with the passphrase x."""
    store = folder / "keystore.p12"
    command = ("pkcs12", "-export", "-passout", "pass:x", "-out", str(store))
    keys.openssl(*command, text=plain().private + certificate())
    return store.read_bytes()


def pkcs7(folder: Path) -> str:
    """Return a bundle of the pair's certificate."""
    (folder / "tls.crt").write_text(certificate(), encoding="ascii")
    return keys.openssl("crl2pkcs7", "-nocrl", "-certfile", str(folder / "tls.crt"))


def openssh(folder: Path) -> str:
    """Return the pair's private key as ssh-keygen writes it."""
    file = folder / "id_rsa"
    file.write_text(plain().private, encoding="ascii")
    file.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "", "-f", str(file)], check=True)
    return file.read_text(encoding="ascii")


def trusted(_: Path) -> str:
    """Return the pair's certificate in OpenSSL's trusted format."""
    return keys.openssl("x509", "-trustout", "-addtrust", "serverAuth", text=certificate())


CONVERTED: dict[str, tuple[Callable[[Path], str], str, Sequence[str]]] = {
    "a PKCS#7 bundle": (
        pkcs7,
        "holds a PKCS#7 bundle (openssl pkcs7 -print_certs extracts its certificates)",
        ("openssl", "pkcs7", "-print_certs"),
    ),
    "an OpenSSH key": (
        openssh,
        "holds a key in OpenSSH's own format (ssh-keygen -p -m PEM converts it)",
        ("ssh-keygen", "-p", "-m", "PEM", "-N", "", "-f"),
    ),
    "a trusted certificate": (
        trusted,
        "holds a certificate in OpenSSL's own format (openssl x509 converts it)",
        ("openssl", "x509"),
    ),
}


@pytest.mark.parametrize(("make", "error", "command"), CONVERTED.values(), ids=CONVERTED.keys())
def test_a_convertible_format_is_refused_with_the_command(
    make: Callable[[Path], str], error: str, command: Sequence[str], tmp_path: Path
) -> None:
    """The output of the command is accepted."""
    content = make(tmp_path)
    assert refusal({"private.pem": content}) == f"private.pem {error}; {NEEDED}"
    assert converted(content, command, tmp_path) == plain().public


MISLABELLED: dict[str, tuple[Callable[[Path], str], str, str, str, Sequence[str]]] = {
    "a PKCS#7 bundle": (
        pkcs7,
        "PKCS7",
        "CERTIFICATE",
        (
            "holds a PKCS#7 bundle under the label CERTIFICATE; change the label to PKCS7, "
            "then openssl pkcs7 -print_certs extracts its certificates"
        ),
        CONVERTED["a PKCS#7 bundle"][2],
    ),
    "an OpenSSH key": (
        openssh,
        "OPENSSH PRIVATE KEY",
        "RSA PRIVATE KEY",
        (
            "holds a key in OpenSSH's own format under the label RSA PRIVATE KEY; change the label to "
            "OPENSSH PRIVATE KEY, then ssh-keygen -p -m PEM converts it"
        ),
        CONVERTED["an OpenSSH key"][2],
    ),
}


@pytest.mark.parametrize(("make", "right", "wrong", "error", "command"), MISLABELLED.values(), ids=MISLABELLED.keys())
def test_a_wrong_label_is_refused_with_the_command(
    make: Callable[[Path], str], right: str, wrong: str, error: str, command: Sequence[str], tmp_path: Path
) -> None:
    """Following the message gives an accepted key."""
    content = make(tmp_path)
    assert refusal({"private.pem": content.replace(right, wrong)}) == f"private.pem {error}; {NEEDED}"
    assert converted(content, command, tmp_path) == plain().public


def converted(content: str, command: Sequence[str], folder: Path) -> str:
    """Return the public key of a content that a command has converted, in place or to standard output."""
    file = folder / "converted"
    file.write_text(content, encoding="ascii")
    file.chmod(0o600)
    in_place = command[-1] == "-f"
    arguments = [*command, str(file)] if in_place else command
    ran = subprocess.run(arguments, input=content, capture_output=True, check=True, text=True)
    return read({"private.pem": file.read_text(encoding="ascii") if in_place else ran.stdout}).pem


def test_a_certificate_request_under_another_label_is_refused() -> None:
    """The message names it."""
    content = certificate_request().replace("CERTIFICATE REQUEST", "CERTIFICATE")
    assert refusal({"tls.crt": content}) == (
        "tls.crt holds a certificate request under the label CERTIFICATE; change the label to "
        f"CERTIFICATE REQUEST; {NEEDED}"
    )


def test_a_pkcs12_file_is_refused_with_the_command(tmp_path: Path) -> None:
    """As DER and as PEM; the command extracts the key."""
    store = pkcs12(tmp_path)
    assert refusal({"keystore.p12": store}, entry="keystore.p12") == (
        f"keystore.p12 is a PKCS#12 file (openssl pkcs12 -nocerts extracts the key); {NEEDED}"
    )
    assert refusal({"tls.key": armored("PRIVATE KEY", store)}) == (
        "tls.key holds a PKCS#12 file under the label PRIVATE KEY; decode the base64 text between its lines, "
        f"then openssl pkcs12 -nocerts extracts the key; {NEEDED}"
    )
    given = ("-passin", "pass:x", "-passout", "pass:y")
    extracted = keys.openssl("pkcs12", "-nocerts", "-in", str(tmp_path / "keystore.p12"), *given)
    assert read({"private.pem": extracted, "y": "y"}, passphrase="y").pem == plain().public
