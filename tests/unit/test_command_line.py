"""The command line: flags, environment, and how a start that cannot be ends."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version

import pytest

from bek_operator.__main__ import _why, main
from bek_operator.controller.watch import WatchEnded

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command with arguments and BEK_ variables; return exit status, output and errors."""
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
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
    for one, handler in handlers.items():
        signal.signal(one, handler)


def test_help_names_every_flag_and_its_default(run: Run) -> None:
    """The environment is mentioned, too."""
    status, out, _ = run("--help")
    assert status == 0
    for flag in ("--namespace", "--allow-host", "--concurrency", "--watch-secrets", "--health-address", "--log-format"):
        assert f"{flag} " in out
    assert "BEK_ALLOW_HOST" in out


def test_the_version_is_that_of_the_package(run: Run) -> None:
    """It is what is installed."""
    assert run("--version") == (0, f"{version('bek-operator')}\n", "")


def test_no_argument_at_all_is_what_the_deployment_gives(run: Run) -> None:
    """Without any flag the faults of the environment are named, and nothing else."""
    status, out, err = run(BEK_LOG_LEVEL="loud")
    assert (status, out) == (2, "")
    assert err == "bek-operator: --log-level: must be one of debug, info, warning, error, not 'loud'\n"


def test_every_fault_is_named_at_once_with_status_2(run: Run) -> None:
    """Flags that do not exist, flags without a value and values that cannot be, from wherever they come."""
    status, out, err = run(
        *("--concurrency", "--log-level", "loud", "--cloud-sky=x", "stray", "--namespace", "a", "--namespace", "B"),
        BEK_LOG_FORMAT="xml",
        BEK_ALLOW_HOST="ok.example.com,not ok",
        BEK_SECRET_SELECTOR="a,",
    )
    assert (status, out) == (2, "")
    assert [line.removeprefix("bek-operator: ").partition(": ")[0] for line in err.splitlines()] == [
        "--concurrency",
        "--cloud-sky=x",
        "stray",
        "--namespace",
        "--secret-selector",
        "--log-level",
        "--log-format",
        "--allow-host",
    ]


def test_flags_are_written_out(run: Run) -> None:
    """A shortened flag could mean another one in the next version."""
    status, _, err = run("--concurrency-per", "5")
    assert status == 2
    assert "--concurrency-per: no such setting" in err


def test_a_flag_goes_before_the_environment(run: Run) -> None:
    """What is given twice is taken from the flag; an empty flag leaves it to the environment."""
    _, _, err = run("--log-level", "loud", BEK_LOG_LEVEL="quiet")
    assert "'loud'" in err
    assert "'quiet'" not in err
    _, _, err = run("--log-level=", BEK_LOG_LEVEL="quiet")
    assert "'quiet'" in err


@pytest.mark.usefixtures("logging_untouched")
def test_a_start_without_a_cluster_ends_with_a_word_and_status_1(run: Run) -> None:
    """It says what is missing, without a traceback."""
    status, out, err = run("--health-address=127.0.0.1:0", KUBECONFIG="/nowhere/kubeconfig")
    assert (status, out) == (1, "")
    assert " ERROR   bek_operator: stopped: no credentials for a cluster: " in err.splitlines()[-1]
    assert "Traceback" not in err


def test_what_nobody_has_foreseen_is_told_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Tasks that ended with it are unwrapped; what can be said in a line is said in a line."""
    assert _why(ExceptionGroup("tasks", [ExceptionGroup("more", [KeyError("sesame")])])) == "KeyError"
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert _why(ExceptionGroup("tasks", [WatchEnded("the watch ended")])) == "the watch ended"
    assert len(caplog.records) == 1
