"""Run as a program: end what a killed owner left behind; see `processes`.

It reads lines "+PID" and "-PID" from standard input; at their end, which is the owner's, it kills the remaining
process groups and removes the folder named on the command line.
"""

import os
import shutil
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Watch until standard input ends, then clean up."""
    groups: set[int] = set()
    for line in sys.stdin:
        sign, pid = line[0], int(line[1:])
        (groups.add if sign == "+" else groups.discard)(pid)
    for group in groups:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
