"""What SIGINT and SIGTERM do: the first one asks the process to end in order, the second one ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The process was told to end by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What a shell shows for a program that a signal has ended."""
        return 128 + self.number


@contextmanager
def on_first_signal(react: Callable[[int], None]) -> Iterator[None]:
    """Call `react` in the main thread at the first signal within the block; a second one has its default effect."""
    earlier = {number: signal.getsignal(number) for number in STOPPING}

    def handle(number: int, _frame: FrameType | None) -> None:
        for it in STOPPING:
            signal.signal(it, signal.SIG_DFL)
        react(number)

    for number in STOPPING:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def raise_stopped(number: int) -> None:
    """For `on_first_signal`: raise `Stopped` wherever the main thread is."""
    raise Stopped(number)
