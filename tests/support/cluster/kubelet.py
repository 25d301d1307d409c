"""What the kubelet would do to an operator: probe it as its Deployment says, and hold it to its memory limit."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from support.cluster.operator_process import replica_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from support.cluster.apiserver import ApiServer

FLAGS = ("--allow-host=127.0.0.1:*", "--log-format=json")
"""What a test adds to the settings of the Deployment: where the simulators are."""

_MEMORY_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe of a container; where a Deployment is silent, with the defaults of Kubernetes."""

    path: str
    delay: float
    period: float
    timeout: float
    failures: int

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the probe that a manifest describes."""
        return cls(
            path=body["httpGet"]["path"],
            delay=body.get("initialDelaySeconds", 0),
            period=body.get("periodSeconds", 10),
            timeout=body.get("timeoutSeconds", 1),
            failures=body.get("failureThreshold", 3),
        )

    @property
    def patience(self) -> float:
        """For how many seconds a process can fail it before the kubelet acts."""
        return self.period * self.failures + self.timeout


class Kubelet:
    """Runs the operator of a Deployment, as a context manager, and notes what a kubelet would do to it.

    It kills nothing, so that a test also sees what comes after.

    Attributes:
        operator: The process.
        liveness: Its liveness probe.
        limit: Its memory limit, in MiB.
        peak: The most resident memory seen, in MiB: of the process and its children.
        failed: Paths of probes that failed, in order.
        acts: What the kubelet would have done.
    """

    def __init__(self, server: ApiServer, deployment: Mapping[str, Any], name: str) -> None:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        self.operator = replica_of(server, deployment, FLAGS, name)
        self.liveness, self._readiness = (Probe.of(container[one]) for one in ("livenessProbe", "readinessProbe"))
        self.limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
        self.peak = 0.0
        self.failed: list[str] = []
        self.acts: list[str] = []
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def restart(self) -> None:
        """Start the operator once more, after a kill."""
        self._stop()
        self._start()

    @property
    def verdict(self) -> list[str]:
        """What a kubelet would have held against the operator until now; empty if nothing."""
        found = list(self.acts)
        if not self.operator.is_running():
            found.append(f"it ended with exit status {self.operator.exit_status}")
        if self.peak > self.limit:
            found.append(f"killed: {self.peak:.0f} MiB of memory, and its limit is {self.limit}")
        return found

    def _start(self) -> None:
        self.operator.start(wait=False)
        self._stopped = threading.Event()
        looks = (lambda: self._probe(self.liveness), lambda: self._probe(self._readiness), self._weigh)
        self._threads = [threading.Thread(target=one, name="kubelet") for one in looks]
        for thread in self._threads:
            thread.start()

    def _stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self.operator.kill()

    def _probe(self, probe: Probe) -> None:
        failures, due = 0, time.monotonic() + probe.delay
        while not self._stopped.wait(due - time.monotonic()):
            due = max(due + probe.period, time.monotonic())
            if self.operator.passes(probe.path, probe.timeout):
                failures = 0
                continue
            failures += 1
            self.failed.append(probe.path)
            if failures == probe.failures:
                self.acts.append(f"{probe.path} failed {failures} times in a row")

    def _weigh(self) -> None:
        while not self._stopped.wait(_MEMORY_SECONDS):
            # The process, or a child of it, may have ended.
            with suppress(OSError, LookupError):
                self.peak = max(self.peak, _memory(self.operator.pid))


def _memory(pid: int) -> float:
    """Return the resident memory of a process and its children in MiB; of the process alone the peak, if larger."""
    own = _status(pid)
    return max(own["VmHWM"], own["VmRSS"] + sum(_children(pid))) / 1024


def _children(pid: int) -> Iterator[int]:
    command = _command(pid)
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text("ascii").split()):
            with suppress(OSError, LookupError):
                # Until it runs a program of its own, its memory is that of the process.
                if _command(child) != command:
                    yield _status(child)["VmHWM"]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _status(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return {
        name: int(text.split()[0]) for name, text in (line.split(":", 1) for line in lines if line.startswith("Vm"))
    }
