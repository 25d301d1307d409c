"""Secrets that hold no usable key: what is said about them, and that a good key is all it takes."""

import re
from collections.abc import Callable, Mapping
from functools import partial

from support import der, key_samples, keys
from support.cluster.scene import KEY_SECRET, Scene, conditions

Content = Callable[[], Mapping[str, str | bytes]]

NEEDED = "an RSA key of 2048 bits is needed"
CUT_OFF = "is truncated or garbled: its BEGIN and END lines do not match"
WRONG = "cannot be decrypted: the passphrase is wrong, or the key is damaged or its encryption is not supported"


def private(content: str | bytes) -> Mapping[str, str | bytes]:
    """Return the entries of a Secret with this in the place of a private key."""
    return {"private.pem": content}


def with_absurd_rounds() -> str:
    """Return an encrypted key whose header asks for a thousand times the usual rounds, and more."""
    return keys.openssl(
        *("pkcs8", "-topk8", "-iter", "1000001", "-passout", f"pass:{keys.OPEN_SESAME}"), text=keys.rsa().private
    )


UNUSABLE: Mapping[str, tuple[Content, str]] = {
    "no entry that is looked for": (
        lambda: {"key.txt": keys.rsa().private},
        "none of public.pem, private.pem, tls.crt, tls.key; name an entry in keySecretRef.key; it has key.txt",
    ),
    "an EC key": (lambda: private(keys.elliptic().private), f"private.pem is an EC key; {NEEDED}"),
    "1024 bits": (lambda: private(keys.rsa("small", 1024).private), f"is an RSA key of 1024 bits; {NEEDED}"),
    "4096 bits": (
        lambda: {"public.pem": key_samples.public_of_numbers(n=2**4095 + 1, e=65537)},
        f"public.pem is an RSA key of 4096 bits; {NEEDED}",
    ),
    "two parts that disagree": (
        lambda: {"private.pem": keys.rsa().private, "public.pem": keys.rsa("second").public},
        "public.pem and private.pem are different keys; they must be the same",
    ),
    "a certificate of another key": (
        lambda: {"tls.key": keys.rsa().private, "tls.crt": keys.certificate_of(keys.rsa("second").private)},
        "tls.crt and tls.key are different keys; they must be the same",
    ),
    "several keys": (
        lambda: private(keys.rsa().private + keys.rsa("second").private),
        "private.pem holds several private keys; keep one of them",
    ),
    "truncated": (lambda: private(keys.rsa().private[:900]), f"private.pem {CUT_OFF}"),
    "too large": (lambda: private(keys.rsa().private + "#" * 65536), "is too large for a key: over 64 KiB"),
    "an enormous key of another algorithm": (
        lambda: private(key_samples.armored("PRIVATE KEY", der.private_key_info(der.DSA, 90_000))),
        f"private.pem is a DSA key; {NEEDED}",
    ),
    "a certificate request under another label": (
        lambda: {"tls.crt": key_samples.certificate_request().replace("CERTIFICATE REQUEST", "CERTIFICATE")},
        "tls.crt holds a certificate request under the label CERTIFICATE; change the label to CERTIFICATE REQUEST",
    ),
    "not a key at all": (lambda: private("hello, world"), "private.pem is not PEM: it has no BEGIN line"),
    "nothing": (lambda: private(""), f"private.pem is empty; {NEEDED}"),
    "encrypted": (
        lambda: private(keys.encrypted().private),
        "private.pem is encrypted; set keySecretRef.passphraseKey to the entry with its passphrase",
    ),
}

UNUSABLE_WITH_PASSPHRASE: Mapping[str, tuple[Content, str]] = {
    "no passphrase": (
        lambda: private(keys.encrypted().private),
        "the Secret has no entry passphrase, which keySecretRef.passphraseKey names; it has private.pem",
    ),
    "an empty passphrase": (
        lambda: {"private.pem": keys.encrypted().private, "passphrase": "\n"},
        "passphrase is empty; the passphrase of the private key is needed",
    ),
    "another passphrase": (
        lambda: {"private.pem": keys.encrypted().private, "passphrase": "Sesame, open"},
        f"private.pem {WRONG}",
    ),
    "another passphrase for OpenSSL 1": (
        lambda: {"private.pem": keys.encrypted_classic().private, "passphrase": "Sesame, open"},
        f"private.pem {WRONG}",
    ),
    "an enormous key of another algorithm": (
        lambda: {
            "private.pem": key_samples.encrypted(der.private_key_info(der.DSA, 40_000)),
            "passphrase": key_samples.PASSPHRASE,
        },
        f"private.pem is a DSA key; {NEEDED}",
    ),
    "absurd rounds": (
        lambda: {"private.pem": with_absurd_rounds(), "passphrase": keys.OPEN_SESAME},
        (
            "private.pem declares an unsupported key-derivation cost (at most 1,000,000 rounds; of scrypt 32 MiB, the "
            "most that OpenSSL reads); encrypt it with openssl rsa -aes256"
        ),
    ),
}


def go_through(scene: Scene, unusable: Mapping[str, tuple[Content, str]]) -> dict[str, str]:
    """Put one unusable key after the other, wait for what is to be shown of it, and return the conditions."""
    shown = {}
    for name, (content, message) in unusable.items():
        scene.put_secret(KEY_SECRET, content())
        scene.wait_for(partial(shows, scene, message), f"{name}: {message}")
        found = conditions(scene.get())
        shown[name] = " ".join(f"{kind} {one['status']} {one['reason']}" for kind, one in sorted(found.items()))
    return shown


def shows(scene: Scene, message: str) -> bool:
    """Return whether the Ready condition says so."""
    return message in str(conditions(scene.get())["Ready"]["message"])


def test_an_unusable_key_is_reported_and_a_good_one_heals_without_an_edit(scene: Scene) -> None:
    """The object says what was found and what is needed, keeps what it knew, and calls nobody."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    before = scene.get()["status"]
    scene.simulator.forget_requests()

    shown = go_through(scene, UNUSABLE)

    assert shown == dict.fromkeys(UNUSABLE, "Ready False InvalidKey Stalled True InvalidKey")
    assert re.match(f"Secret {KEY_SECRET}: ", conditions(scene.get())["Ready"]["message"])
    for kept in ("phoneNumbers", "publicKeyFingerprint", "signed", "observedGeneration"):
        assert scene.get()["status"][kept] == before[kept]
    assert scene.simulator.requests == []

    scene.put_secret(KEY_SECRET, private(keys.rsa("second").private))
    scene.wait_ready()
    assert scene.simulator.all_hold(keys.rsa("second").public)


def test_an_encrypted_key_that_does_not_open_is_reported(scene: Scene) -> None:
    """Before there was any good key, nothing is published either, until the passphrase is right."""
    scene.put_secret(KEY_SECRET, {"private.pem": "not yet"})
    reference = {"name": KEY_SECRET, "key": "private.pem", "passphraseKey": "passphrase"}
    scene.apply(scene.manifest(keySecretRef=reference))
    scene.wait_for(lambda: scene.ready() == ("False", "InvalidKey"), "the object is looked at")

    shown = go_through(scene, UNUSABLE_WITH_PASSPHRASE)

    assert shown == dict.fromkeys(UNUSABLE_WITH_PASSPHRASE, "Ready False InvalidKey Stalled True InvalidKey")
    assert "publicKeyFingerprint" not in scene.get()["status"]
    assert {row["reason"] for row in scene.rows().values()} == {"Pending"}
    assert scene.simulator.requests == []

    scene.put_key(keys.encrypted())
    scene.wait_ready()
    assert scene.simulator.all_hold(keys.encrypted().public)
