"""Which hosts a command calls: every one, because the user sees them, and the operator's settings are not known."""

from typing import Final

from bek_operator.net.hosts import METADATA, AllowedHosts, IPAddress
from bek_operator.net.url import Url, parse_url
from bek_operator.numbers.endpoints import EgressPolicy


class _AnyHost(AllowedHosts):
    def allows(self, url: Url, namespace: str, *, cloud_host: str | None = None) -> bool:
        del self, url, namespace, cloud_host
        return True


EVERY_HOST: Final = EgressPolicy(hosts=_AnyHost(), cloud=parse_url("https://graph.facebook.com"))


def is_no_metadata_service(address: IPAddress, _port: int) -> bool:
    """Return whether an address can be called for an object, whose author may not be the user."""
    return address not in METADATA
