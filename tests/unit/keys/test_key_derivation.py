"""Derived keys: the values that describe them, the program that derives them, and a cache that waits for them."""

import pytest

from bek_operator.keys import derive
from bek_operator.keys.cache import KeyCache, Needed
from bek_operator.keys.derivation import Derivation
from bek_operator.keys.public_key import InvalidKey, PublicKey
from support.key_samples import PASSPHRASE, encrypted_with, plain

GIVEN_UP = "private.pem takes too much time or memory to decrypt; encrypt it with openssl rsa -aes256"


def derivation(scheme: str, *costs: int, size: int = 32) -> Derivation:
    """Return a derivation."""
    return Derivation(scheme=scheme, costs=costs, size=size, salt=b"salt", passphrase=PASSPHRASE.encode())


CHEAP = [
    derivation("sha1", 20_000),
    derivation("sha512", 1),
    derivation(derive.PKCS12, 2048),
    derivation(derive.MD5, 2048, size=16),
]
COSTLY = [derivation("sha256", 20_001), derivation(derive.SCRYPT, 2, 1, 1), derivation(derive.PKCS12, 1_000_000)]


@pytest.mark.parametrize("one", CHEAP, ids=str)
def test_what_openssl_writes_is_cheap(one: Derivation) -> None:
    """It needs no process; and what the program is asked gives the same key."""
    assert one.is_cheap
    assert derive.answer(one.request) == one.run()
    assert len(one.run()) == one.size


@pytest.mark.parametrize("one", COSTLY, ids=str)
def test_many_rounds_and_memory_are_costly(one: Derivation) -> None:
    """Its representation shows neither passphrase nor salt."""
    assert not one.is_cheap
    assert PASSPHRASE not in repr(one)
    assert "salt" not in repr(one)


def test_a_request_with_an_empty_passphrase_is_answered() -> None:
    """Nothing is lost on the way to the program."""
    one = Derivation(scheme=derive.SCRYPT, costs=(2, 1, 1), size=24, salt=b"", passphrase=b"")
    assert derive.answer(one.request) == one.run()


def costly_secret(passphrase: str = PASSPHRASE) -> dict[str, bytes]:
    """Return a Secret with a key of so many rounds that it needs a process."""
    private = encrypted_with("-iter", "30000")
    return {"private.pem": private.encode(), "passphrase": passphrase.encode()}


async def needed(cache: KeyCache, data: dict[str, bytes]) -> Needed:
    """Return what the cache needs for a Secret."""
    found = await cache.parse(data, None, "passphrase")
    assert isinstance(found, Needed)
    return found


async def read(cache: KeyCache, data: dict[str, bytes]) -> PublicKey:
    """Return the key that the cache has for a Secret."""
    found = await cache.parse(data, None, "passphrase")
    assert isinstance(found, PublicKey)
    return found


async def test_a_costly_key_is_parsed_when_it_was_derived() -> None:
    """Whoever asks later needs nothing, and a second derivation of the same key changes nothing."""
    cache, data = KeyCache(), costly_secret()
    first, second = await needed(cache, data), await needed(cache, dict(data))
    assert first == second
    key = first.derivation.run()
    assert cache.lacks(first)
    cache.derived(first, key)
    assert not cache.lacks(first)
    cache.derived(second, b"another one, which comes too late")
    assert (await read(cache, data)).pem == plain().public
    assert not cache.lacks(first)
    assert await read(cache, data) is await read(cache, dict(data))


async def test_each_passphrase_is_derived_in_turn() -> None:
    """The entry as it is, then without its newline; what belongs to an earlier step is not taken for a later one."""
    cache, data = KeyCache(), costly_secret(f"{PASSPHRASE}\n")
    first = await needed(cache, data)
    cache.derived(first, first.derivation.run())
    second = await needed(cache, data)
    assert (first.step, second.step) == (0, 1)
    assert first.derivation != second.derivation
    cache.derived(first, first.derivation.run())
    cache.derived(second, second.derivation.run())
    assert (await read(cache, data)).pem == plain().public


async def test_a_derivation_that_was_given_up_is_refused_and_tried_again() -> None:
    """The refusal is not remembered: it may be the machine that was slow."""
    cache, data = KeyCache(), costly_secret()
    cache.derived(await needed(cache, data), None)
    with pytest.raises(InvalidKey, match=GIVEN_UP):
        await cache.parse(data, None, "passphrase")
    again = await needed(cache, data)
    cache.derived(again, again.derivation.run())
    assert (await read(cache, data)).pem == plain().public


async def test_a_wrong_passphrase_is_remembered() -> None:
    """It is derived once."""
    cache, data = KeyCache(), costly_secret("wrong")
    first = await needed(cache, data)
    cache.derived(first, first.derivation.run())
    for _ in range(2):
        with pytest.raises(InvalidKey, match="the passphrase is wrong"):
            await cache.parse(data, None, "passphrase")


async def test_a_cheap_key_needs_nothing() -> None:
    """As OpenSSL writes it."""
    data = {"private.pem": encrypted_with().encode(), "passphrase": PASSPHRASE.encode()}
    assert (await read(KeyCache(), data)).pem == plain().public
