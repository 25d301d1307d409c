"""Namespaces of a node's own: one process, whose end takes away every process, mount and interface inside.

Run as a program inside of them it prepares them and becomes another program:

    python -m support.node.namespaces FOLDER PROGRAM [ARGUMENT ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from support.node.programs import program

if TYPE_CHECKING:
    from collections.abc import Sequence

BRIDGE, ADDRESS, NETWORK = "cni0", "10.244.0.1", "10.244.0.0/24"
"""The node's only interface, to which its Pods are connected; its address, by which Pods reach the node."""

INSIDE = "BEK_NODE_FOLDER"
"""The variable that names the session's folder to programs inside: it has the images, and its name is the cgroup's."""

# Where everything is written inside.
_WRITTEN = "/run"
# What is written below these would stay behind: the network of the Pods, links to their logs.
_KEPT_CLEAN = ("/var/lib", "/var/log")

# What the kubelet sets if it finds other values: they are the whole machine's.
_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def command(inside: Sequence[str]) -> list[str]:
    """Return the command that runs another one in new namespaces, which end with it, and it with its parent."""
    kinds = ("--mount", "--net", "--pid", "--uts", "--ipc")
    unshare = [program("unshare"), *kinds, "--fork", "--kill-child", "--mount-proc"]
    return [program("setpriv"), "--pdeathsig=KILL", *unshare, *inside]


def prepared(folder: Path, inside: Sequence[str]) -> list[str]:
    """Return the command that runs another one in new namespaces that are prepared for a node."""
    return command([sys.executable, "-m", __name__, str(folder), *inside])


def refusal() -> str:
    """Return why this machine has no such namespaces for us; empty if it has."""
    answer = subprocess.run(prepared(Path(), ["true"]), capture_output=True, text=True, check=False)
    return f"namespaces cannot be made: {answer.stderr.strip()}" if answer.returncode else ""


def main() -> None:
    """Prepare the namespaces that this process is in, and become the program that is named."""
    folder, inside = sys.argv[1], sys.argv[2:]
    if os.getpid() != 1:
        sys.exit("this program is for the first process of new namespaces; see support.node")
    try:
        _hide_the_machine()
        _connect()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)}: {error.stderr.strip()}")
    os.environ |= {INSIDE: folder, "TMPDIR": _WRITTEN}
    os.execvp(inside[0], inside)  # noqa: S606 - there is no shell on purpose


def _hide_the_machine() -> None:
    # In memory, which goes away in an instant.
    _run("mount", "-t", "tmpfs", "tmpfs", _WRITTEN)
    for path in _KEPT_CLEAN:
        upper, work = (Path(_WRITTEN) / kind / path.strip("/") for kind in ("upper", "work"))
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        layers = f"lowerdir={path},upperdir={upper},workdir={work}"
        _run("mount", "-t", "overlay", "-o", layers, "overlay", path)
    for number, (name, value) in enumerate(_SYSCTLS.items()):
        shown = Path(_WRITTEN) / f"sysctl-{number}"
        shown.write_text(f"{value}\n", encoding="ascii")
        _run("mount", "--bind", str(shown), f"/proc/sys/{name}")


def _connect() -> None:
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "add", f"{ADDRESS}/{NETWORK.rpartition('/')[2]}", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    # Connections from Pods are led on to servers that listen on loopback.
    Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/route_localnet").write_text("1", encoding="ascii")


def _run(name: str, *arguments: str) -> None:
    subprocess.run([program(name), *arguments], check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
