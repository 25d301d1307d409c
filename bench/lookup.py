"""Run as a program of its own: the operator, on a machine where the names of the simulated pods lead to loopback.

Nothing of the operator is touched: it asks the system's resolver as ever, in threads of its own, and only that one
knows more names than it otherwise would.
"""

import socket
from collections.abc import Callable
from typing import Any

from bek_operator.__main__ import main as run_operator
from bench import names


def main() -> None:
    """Teach the resolver, then run the operator with the command line as it is."""
    socket.getaddrinfo = _knowing(socket.getaddrinfo)
    run_operator()


def _knowing(ask: Callable[..., Any]) -> Callable[..., Any]:
    def getaddrinfo(host: str | bytes | None, *rest: Any, **more: Any) -> Any:
        known = isinstance(host, str) and host.endswith(f".{names.DOMAIN}")
        return ask(names.address(str(host)) if known else host, *rest, **more)

    return getaddrinfo


if __name__ == "__main__":
    main()
