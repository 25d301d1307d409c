"""The names of a number in each place; all follow from its index."""

from typing import Final

DOMAIN: Final = "pods.test"
SERVER_NAME: Final = "whatsapp-web-service"
ADDRESSES: Final = tuple(f"127.0.1.{last}" for last in range(1, 17))
"""The addresses of the hosts: one alone would run out of ports for connections that have just ended."""

USERNAME: Final = "admin"
PASSWORD: Final = "Bench-Password-1"
TOKEN: Final = "bench-system-user-token"

_DIGITS = 155_500_000_000
_IDS = 100_000_000_000_000


def number(index: int) -> str:
    """Return the phone number."""
    return f"+{_DIGITS + index}"


def number_id(index: int) -> str:
    """Return its phone number id."""
    return str(_IDS + index)


def host(index: int) -> str:
    """Return the host of its On-Premises API."""
    return f"wa-{_DIGITS + index}.{DOMAIN}"


def address(host: str) -> str:
    """Return the loopback address of a host."""
    return ADDRESSES[index_of_host(host) % len(ADDRESSES)]


def index_of_host(host: str) -> int:
    """Return the index of the number that has this host, which may come with a port.

    Raises:
        ValueError: none has it.
    """
    return int(host.partition(".")[0].removeprefix("wa-")) - _DIGITS


def index_of_id(number_id: str) -> int:
    """Return the index of the number with this id.

    Raises:
        ValueError: none has it.
    """
    return int(number_id) - _IDS


def index_of_number(number: str) -> int:
    """Return the index of a phone number."""
    return int(number) - _DIGITS
