"""The label selector of the watch on Secrets, which the API server judges."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from support.cluster.apiserver import ApiServer
from support.cluster.operator_process import OperatorProcess

SOURCE = Path(__file__).parents[2] / "operator"


@pytest.mark.parametrize("text", ["a b", "a in (b", "a=b=c"])
def test_an_invalid_selector_ends_the_process(installed: ApiServer, text: str) -> None:
    """The last line names the flag and its value."""
    ended = subprocess.run(
        [sys.executable, "-m", "bek_operator", f"--secret-selector={text}", "--health-address=127.0.0.1:0"],
        env={**os.environ, "KUBECONFIG": str(installed.kubeconfig()), "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = (ended.stdout + ended.stderr).splitlines()[-1]
    assert "stopped: --secret-selector: must be a label selector" in last
    assert repr(text) in last
    assert ended.returncode == 1


def test_a_valid_selector_narrows_the_watch(installed: ApiServer) -> None:
    """It is part of the list and of the watch, unchanged."""
    selector = "tier in (gold,),!old"
    mark = installed.audit_mark()
    with OperatorProcess(installed, [f"--secret-selector={selector}"], name="selecting") as operator:
        assert operator.stop() == 0
    queries = [parse_qs(urlsplit(event.uri).query) for event in installed.audit(mark) if event.resource == "secrets"]
    assert {"watch" in query for query in queries if query.get("labelSelector") == [selector]} == {True, False}
