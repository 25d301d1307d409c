"""A real Prometheus that scrapes operators as the PodMonitor of deploy/components/monitoring would have it do."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import yaml

from support.cluster.servers import free_port, wait_until_up

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from support.programs.binaries import PrometheusBinaries
    from support.programs.processes import Keeper

POD_MONITOR = Path(__file__).parents[3] / "deploy" / "components" / "monitoring" / "pod-monitor.yaml"


class Prometheus:
    """A running Prometheus, which looks every second.

    Args:
        ports: Of the operators' metrics, by the name of the Pod that each is to be in.
        rules: The content of a rule file.
    """

    def __init__(
        self, binaries: PrometheusBinaries, keeper: Keeper, ports: Mapping[str, int], rules: Mapping[str, Any]
    ) -> None:
        self._keeper = keeper
        self._port = free_port()
        self._folder = keeper.folder / f"prometheus-{self._port}"
        self._folder.mkdir()
        self._write("rules.yaml", rules)
        configuration = self._write("prometheus.yaml", _configuration(ports))
        self._process = keeper.spawn(
            self._folder.name,
            [
                str(binaries.prometheus),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
        )

    def __enter__(self) -> Self:
        name = self._folder.name
        wait_until_up(name, self._process, lambda: self._ask("/-/ready") is not None, self._keeper.log(name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.end(self._process, grace=5)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now; it must be one that Prometheus can read."""
        answer = self._ask(f"/api/v1/query?{urlencode({'query': expression})}")
        assert answer, f"Prometheus refuses {expression}"
        result: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return result

    def alerts(self, state: str) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing."""
        answer = json.loads(self._ask("/api/v1/alerts") or b"{}")
        return [one for one in answer["data"]["alerts"] if one["state"] == state]

    def targets(self) -> list[tuple[str, str]]:
        """Return health and last error of every target."""
        answer = json.loads(self._ask("/api/v1/targets") or b"{}")
        return [(one["health"], one["lastError"]) for one in answer["data"]["activeTargets"]]

    def _ask(self, path: str) -> bytes | None:
        """Return the answer, `None` while there is none or an error."""
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.read() if response.status == HTTPStatus.OK else None
        except OSError:
            return None

    def _write(self, name: str, content: Any) -> Path:
        file = self._folder / name
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return file


def _configuration(ports: Mapping[str, int]) -> dict[str, Any]:
    monitor = yaml.safe_load(POD_MONITOR.read_text(encoding="utf-8"))
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": monitor["spec"]["selector"]["matchLabels"][monitor["spec"]["jobLabel"]],
                "honor_labels": endpoint["honorLabels"],
                "static_configs": [
                    {
                        "targets": [f"127.0.0.1:{port}"],
                        "labels": {"namespace": monitor["metadata"]["namespace"], "pod": pod},
                    }
                    for pod, port in ports.items()
                ],
            }
        ],
    }
