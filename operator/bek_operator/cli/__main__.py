"""The entry point: `kubectl-bek`, which kubectl finds on PATH as `kubectl bek`; also `python -m bek_operator.cli`."""

import logging
import sys


def main() -> None:
    """Run a command; exit with 0 when all is well, 1 when something is not, 2 when the command could not be run."""
    try:
        from bek_operator.cli.commands import bek  # noqa: PLC0415 - click may be missing
        from bek_operator.cli.running import fail  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("bek_operator"):
            raise
        sys.exit(_needs(missing.name or ""))
    # What the operator would log, the commands say.
    logging.getLogger("bek_operator").addHandler(logging.NullHandler())
    try:
        bek(prog_name="kubectl bek")
    except OSError as error:
        fail(error)


def _needs(module: str) -> int:
    """Say how to install what the operator's image does not carry."""
    text = f"kubectl bek: the Python package {module} is missing; install bek-operator[cli]"
    print(text, file=sys.stderr)  # noqa: T201 - a command line
    return 2


if __name__ == "__main__":
    main()
