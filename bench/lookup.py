"""Run as a program: the operator, on a machine where the names of the simulated pods resolve to loopback.

The operator is unchanged: it uses the system's resolver, in threads, which is given more names.
"""

import socket
from collections.abc import Callable
from typing import Any

from bek_operator.__main__ import main as run_operator
from bench import names


def main() -> None:
    """Extend the resolver, then run the operator with the command line."""
    socket.getaddrinfo = _with_pods(socket.getaddrinfo)
    run_operator()


def _with_pods(ask: Callable[..., Any]) -> Callable[..., Any]:
    def getaddrinfo(host: str | bytes | None, *rest: Any, **more: Any) -> Any:
        known = isinstance(host, str) and host.endswith(f".{names.DOMAIN}")
        return ask(names.address(str(host)) if known else host, *rest, **more)

    return getaddrinfo


if __name__ == "__main__":
    main()
