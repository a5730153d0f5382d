"""A command that runs as if it were called by itself: same terminal, same streams, same signals, same exit status."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

__all__ = ["foreground"]

PASSED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGQUIT")
FROM_TERMINAL = ("SIGINT", "SIGQUIT")  # the terminal gives these to the child as well


def foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end and return its exit status, 128 + n where signal n ended it, as a shell does.

    Args:
        command: Program and arguments; no shell sees them.
        environment: Variables beside those inherited.

    Raises:
        OSError: The program cannot be started.
    """
    with _passed_on() as told, subprocess.Popen(list(command), env={**os.environ, **environment}) as child:
        told(child)
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # where signals cannot be handled: a thread, Windows
                code = child.wait()
                return code if code >= 0 else 128 - code


@contextmanager
def _passed_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass signals on to the child that is told, those too that came before it was there to take them."""
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def tell(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in early:
            child.send_signal(number)

    def handle(number: int, _frame: object) -> None:
        if signal.Signals(number).name in FROM_TERMINAL and _has_terminal():
            return
        if children:
            children[0].send_signal(number)
        else:
            early.append(number)

    before = {}
    for name in PASSED:
        number = getattr(signal, name, None)
        with contextlib.suppress(ValueError, OSError):
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    try:
        yield tell
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_terminal() -> bool:
    """Whether a terminal has this process and its child in its foreground."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
