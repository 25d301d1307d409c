"""CA bundles are accepted as people write them, and bounded before they are parsed."""

import ssl

import pytest

from bek_operator.http.tls_contexts import TLSContexts
from bek_operator.net.ca_bundle import MAX_CERTIFICATES, MAX_CHARACTERS, ServerTrust
from support import der, keys
from support.key_samples import armored, generated, signing_key
from support.tls import self_signed

PEM = self_signed().pem


def ca(algorithm: str, size: int) -> str:
    """Return a CA certificate with a key of the algorithm and size."""
    return armored("CERTIFICATE", der.certificate(algorithm, size))


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PEM + PEM,
        PEM + self_signed("other").pem,
        PEM.replace("\n", "\r\n"),
        PEM.rstrip(),
        f"# Autorité de certification\n\n{PEM}\nsubject=CN = whätsapp\n",
        ca(der.RSA, 16_384),
        keys.certificate_of(keys.rsa().private),
        keys.certificate_of(keys.elliptic("secp384r1").private),
        keys.certificate_of(generated("-algorithm", "ED25519")),
        keys.certificate_of(generated("-algorithm", "ED448")),
        keys.certificate_of(signing_key()),
    ],
    ids=[
        *("one", "twice", "two", "CRLF", "no newline", "comments"),
        *("RSA, as large as can be", "RSA", "EC", "Ed25519", "Ed448", "RSA-PSS"),
    ],
)
def test_usable(text: str) -> None:
    """One certificate or several, with comments in any language, are accepted."""
    assert TLSContexts().of(ServerTrust(ca_bundle=text, server_name="whatsapp")).get_ca_certs()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no certificate"),
        ("hello", "holds no certificate"),
        (self_signed().private, "holds no certificate"),
        (PEM[:-40], "truncated certificate"),
        (PEM + PEM[:200], "truncated certificate"),
        (PEM + PEM.replace("M", "N"), "cannot be read"),
        (PEM + PEM.replace("M", "*"), "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("-----BEGIN CERTIFICATE----------END CERTIFICATE-----", "cannot be read"),
        (armored("CERTIFICATE", der.public_key_info(der.RSA, 2048)), "cannot be read"),
        ("\x00" + PEM, "cannot be read"),
        (ca(der.RSA, 16_385), "holds a certificate of an RSA key of 16385 bits; the maximum is 16384"),
        (
            PEM + ca(der.RSA, 300_000),
            "holds a certificate of an RSA key of 300000 bits; the maximum is 16384",
        ),
        (ca(der.RSA_PSS, 40_000), "holds a certificate of an RSA key of 40000 bits; the maximum is 16384"),
        (
            ca(der.DSA, 40_000),
            "holds a certificate of a DSA key; an RSA, EC or Ed25519 key is needed",
        ),
        (ca(der.X942, 2048), "holds a certificate of a Diffie-Hellman key; an RSA"),
        (ca(der.NOBODY, 8), "holds a certificate of a key of another algorithm; an RSA"),
        (PEM + " " * MAX_CHARACTERS, "larger than 64 KiB"),
        ("-----BEGIN CERTIFICATE-----" * (MAX_CERTIFICATES + 1), "larger than 64 KiB or 100 certificates"),
    ],
)
def test_unusable(text: str, message: str) -> None:
    """The message quotes nothing of the CA bundle."""
    with pytest.raises(ValueError, match=message) as fault:
        TLSContexts().of(ServerTrust(ca_bundle=text, server_name="whatsapp"))
    assert "MI" not in str(fault.value)


def test_a_certificate_with_a_damaged_key_is_left_to_openssl() -> None:
    """The size of a damaged key is unknown, and OpenSSL verifies nothing with it."""
    broken = der.certificate(der.RSA, 2048).replace(der.integer(65537), b"\x04\x03\x01\x00\x01", 1)
    context = TLSContexts().of(ServerTrust(ca_bundle=armored("CERTIFICATE", broken), server_name="whatsapp"))
    assert context.cert_store_stats()["x509"] == 1


def test_context_is_strict() -> None:
    """Certificate and name are always verified, with TLS 1.2 at least."""
    for ca_bundle in (PEM, None):
        context = TLSContexts().of(ServerTrust(ca_bundle=ca_bundle, server_name="whatsapp"))
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_expensive_tls_features_are_off() -> None:
    """No DHE key exchange, and no renegotiation."""
    context = TLSContexts().of(ServerTrust(ca_bundle=PEM, server_name="whatsapp"))
    before_1_3 = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert "ECDHE-RSA-AES128-GCM-SHA256" in before_1_3
    assert all(name.startswith("ECDHE-") for name in before_1_3)
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_contexts_are_cached() -> None:
    """One context for each CA bundle, whatever the server name, until it is evicted."""
    contexts = TLSContexts(size=2)
    first = contexts.of(ServerTrust(ca_bundle=PEM, server_name="one"))
    assert contexts.of(ServerTrust(ca_bundle=PEM, server_name="two")) is first
    assert contexts.of(ServerTrust(ca_bundle=PEM + PEM, server_name="one")) is not first
    assert contexts.of(ServerTrust(ca_bundle=PEM, server_name="one")) is first
    for count in (3, 4):
        contexts.of(ServerTrust(ca_bundle=PEM * count, server_name="one"))
    assert contexts.of(ServerTrust(ca_bundle=PEM, server_name="one")) is not first
