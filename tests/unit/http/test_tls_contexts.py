"""CA bundles are accepted as people write them, and bounded before they are parsed."""

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bek_operator.http.tls_contexts import TLSContexts, make_context
from bek_operator.http.turns import Turns
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
    assert make_context(text).get_ca_certs()


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
        make_context(text)
    assert "MI" not in str(fault.value)


def test_a_certificate_with_a_damaged_key_is_left_to_openssl() -> None:
    """The size of a damaged key is unknown, and OpenSSL verifies nothing with it."""
    broken = der.certificate(der.RSA, 2048).replace(der.integer(65537), b"\x04\x03\x01\x00\x01", 1)
    context = make_context(armored("CERTIFICATE", broken))
    assert context.cert_store_stats()["x509"] == 1


def test_context_is_strict() -> None:
    """Certificate and name are always verified, with TLS 1.2 at least."""
    for ca_bundle in (PEM, None):
        context = make_context(ca_bundle)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_expensive_tls_features_are_off() -> None:
    """No DHE key exchange, and no renegotiation."""
    context = make_context(PEM)
    before_1_3 = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert "ECDHE-RSA-AES128-GCM-SHA256" in before_1_3
    assert all(name.startswith("ECDHE-") for name in before_1_3)
    assert context.options & ssl.OP_NO_RENEGOTIATION


@asynccontextmanager
async def caching(characters: int) -> AsyncIterator[TLSContexts]:
    """Make a cache and close it."""
    turns = Turns()
    contexts = TLSContexts(turns, characters)
    try:
        yield contexts
    finally:
        await contexts.close()
        turns.close()


def trust(ca_bundle: str | None, name: str = "one", tenant: str = "messaging") -> ServerTrust:
    """Return what a tenant trusts."""
    return ServerTrust(ca_bundle=ca_bundle, server_name=name, tenant=tenant)


async def test_contexts_are_cached() -> None:
    """One context for each CA bundle, whatever the server name, until those used since then are too large."""
    async with caching(10 * len(PEM)) as contexts:
        first = await contexts.of(trust(PEM))
        assert await contexts.of(trust(PEM, "two")) is first
        assert await contexts.of(trust(PEM, tenant="another")) is first
        assert await contexts.of(trust(PEM * 2)) is not first
        assert await contexts.of(trust(PEM)) is first
        for count in (3, 7):
            await contexts.of(trust(PEM * count))
        assert await contexts.of(trust(PEM)) is not first


async def test_contexts_of_the_settings_stay() -> None:
    """Whatever the tenants have: the system's CAs, which everyone shares, and those of the Cloud API."""
    async with caching(len(PEM)) as contexts:
        system, cloud = await contexts.of(trust(None)), await contexts.of(trust(PEM, tenant=""))
        for count in (2, 3):
            await contexts.of(trust(PEM * count))
        assert await contexts.of(trust(None, tenant="")) is system
        assert await contexts.of(trust(PEM, tenant="")) is cloud


async def test_concurrent_requests_share_a_context() -> None:
    """It is made once."""
    async with caching(len(PEM)) as contexts:
        made = await asyncio.gather(*(contexts.of(trust(PEM)) for _ in range(10)))
        assert set(made) == {made[0]}


async def test_memory_does_not_grow_with_the_number_of_ca_bundles() -> None:
    """Contexts of 256 CA bundles of the largest size took 105 MiB."""
    bundles = [PEM * 80 + "#" * count for count in range(64)]
    async with caching(len(PEM) * 200) as contexts:
        made = [
            weakref.ref(await contexts.of(trust(bundle, tenant=f"tenant-{place}")))
            for place, bundle in enumerate(bundles)
        ]
        gc.collect()
        assert len([one for one in made if one()]) <= 3


async def test_each_tenant_waits_for_its_own_ca_bundles_only() -> None:
    """However many large ones another tenant has waiting."""
    async with caching(len(PEM)) as contexts:
        waiting = [asyncio.create_task(contexts.of(trust(PEM * 80 + "#" * count))) for count in range(500)]
        await asyncio.sleep(0)
        assert (await contexts.of(trust(PEM, tenant="another"))).get_ca_certs()
        assert not all(task.done() for task in waiting)


async def test_an_unusable_ca_bundle_is_reported() -> None:
    """To everyone who asks for it."""
    async with caching(len(PEM)) as contexts:
        for _ in range(2):
            with pytest.raises(ValueError, match="cannot be read"):
                await contexts.of(trust(PEM + PEM.replace("M", "N")))
