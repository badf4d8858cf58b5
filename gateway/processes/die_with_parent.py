"""A program that replaces itself by another one which the kernel ends together with its parent.

Run as a file, before anything else of ours is imported: `python -I -S die_with_parent.py PARENT
PROGRAM ARGUMENT…`. So even `kill -9` of the parent leaves no process behind (Linux).
"""

import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def ended_with_us(command: Sequence[str]) -> tuple[str, ...]:
    """The command line by which a program is started that does not outlive us.

    To be started by the main thread: the kernel watches the thread, not the process.
    """
    return (sys.executable, "-I", "-S", __file__, str(os.getpid()), *command)


def main(arguments: list[str]) -> None:
    """Never returns: becomes the program, or ends because the parent is gone already."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  (only here, and 10 ms)

        # The setting survives the exec; it is forgotten only by setuid programs.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It died before the kernel knew what to do then.
        sys.exit(1)
    try:
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        sys.exit(f"{program[0]} can't be run: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
