"""The command line: flags, environment variables, and exit statuses."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version

import pytest

from bek_operator.__main__ import main
from bek_operator.command_line import _why
from bek_operator.controller.kopf_run import WatchEnded

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command with arguments and BEK_ variables; return exit status, output and errors."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    for name in os.environ:
        if name.startswith("BEK_"):
            monkeypatch.delenv(name)

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bek-operator", *arguments])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        status = ended.value.code
        assert isinstance(status, int)
        return status, *capsys.readouterr()

    yield run
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def test_help_names_every_flag_and_its_default(run: Run) -> None:
    """The environment variables are mentioned, too."""
    status, out, _ = run("--help")
    assert status == 0
    for flag in ("--namespace", "--allow-host", "--concurrency", "--watch-secrets", "--health-address"):
        assert f"{flag} " in out
    for flag in ("--metrics-address", "--log-format"):
        assert f"{flag} " in out
    assert "BEK_ALLOW_HOST" in out


def test_version_is_that_of_the_package(run: Run) -> None:
    """The installed one."""
    assert run("--version") == (0, f"{version('bek-operator')}\n", "")


def test_environment_variables_alone(run: Run) -> None:
    """Without flags, as in the Deployment, faults of environment variables are reported."""
    status, out, err = run(BEK_LOG_LEVEL="loud")
    assert (status, out) == (2, "")
    assert err == "bek-operator: --log-level: must be one of debug, info, warning, error, not 'loud'\n"


def test_all_faults_are_reported_with_status_2(run: Run) -> None:
    """Unknown flags, flags without a value and invalid values, from flags and environment."""
    status, out, err = run(
        *("--concurrency", "--log-level", "loud", "--cloud-sky=x", "stray", "--namespace", "a", "--namespace", "B"),
        BEK_LOG_FORMAT="xml",
        BEK_ALLOW_HOST="ok.example.com,not ok",
    )
    assert (status, out) == (2, "")
    assert [line.removeprefix("bek-operator: ").partition(": ")[0] for line in err.splitlines()] == [
        "--concurrency",
        "--cloud-sky=x",
        "stray",
        "--namespace",
        "--log-level",
        "--log-format",
        "--allow-host",
    ]


def test_flags_cannot_be_abbreviated(run: Run) -> None:
    """An abbreviation could become ambiguous in a later version."""
    status, _, err = run("--concurrency-per", "5")
    assert status == 2
    assert "--concurrency-per: unknown flag" in err


def test_a_flag_overrides_the_environment(run: Run) -> None:
    """An empty flag does not."""
    _, _, err = run("--log-level", "loud", BEK_LOG_LEVEL="quiet")
    assert "'loud'" in err
    assert "'quiet'" not in err
    _, _, err = run("--log-level=", BEK_LOG_LEVEL="quiet")
    assert "'quiet'" in err


@pytest.mark.usefixtures("logging_untouched")
def test_a_start_without_a_cluster_exits_with_status_1(run: Run) -> None:
    """The last line says what is missing, without a traceback."""
    status, out, err = run("--health-address=127.0.0.1:0", KUBECONFIG="/nowhere/kubeconfig")
    assert (status, out) == (1, "")
    assert " ERROR   bek_operator: stopped: no credentials for the API server: " in err.splitlines()[-1]
    assert "Traceback" not in err


def test_an_unexpected_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Exception groups are unwrapped; an expected error is one line."""
    assert _why(ExceptionGroup("tasks", [ExceptionGroup("more", [KeyError("sesame")])])) == "KeyError"
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert _why(ExceptionGroup("tasks", [WatchEnded("the watch ended")])) == "the watch ended"
    assert len(caplog.records) == 1
