"""The real HTTP client for simulators on this machine."""

from itertools import count

from bek_operator.http.client import HttpxClient, Limits
from bek_operator.http.resolver import Resolver
from bek_operator.net.hosts import AllowedHosts


def local_client(total: float) -> HttpxClient:
    """Return a client that gives a call so many seconds.

    Hours pass between two looks at its clock, so that the back-off for costly servers does not hide what each fault
    leads to.
    """
    hosts = AllowedHosts.parse(["127.0.0.1:*"])
    limits = Limits(total=total, connect=total)
    return HttpxClient(Resolver(hosts.names_address), limits=limits, clock=count(0, 3600).__next__)
