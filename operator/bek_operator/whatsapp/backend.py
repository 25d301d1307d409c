"""The small protocol that every WhatsApp API is spoken to through."""

from typing import Protocol, TypeVar

from bek_operator.numbers.answers import Accepted, Failure, Reading

E_contra = TypeVar("E_contra", contravariant=True)


class Backend(Protocol[E_contra]):
    """One kind of WhatsApp API, for endpoints of its own kind.

    Both calls end within a bounded time, read a bounded answer, follow no redirect and never raise for what a
    server did: whatever it answers becomes a value. They may be cancelled; a cancelled `publish` may have been
    carried out.
    """

    async def read(self, endpoint: E_contra) -> Reading | Failure:
        """Ask which key the number holds, and whether its signature is valid."""
        ...

    async def publish(self, endpoint: E_contra, public_key: str) -> Accepted | Failure:
        """Hand over the public key (SPKI PEM) to be signed; a `Failure` says whether that is certain."""
        ...

    async def close(self) -> None:
        """End every connection."""
        ...
