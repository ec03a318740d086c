"""The signals that ask a process to end, turned into an exception, so that its work is closed as what it was."""

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any


class Stopped(BaseException):
    """The process was asked to end."""


@contextlib.contextmanager
def raising_stopped(numbers: Sequence[int], *, once: bool = False) -> Iterator[None]:
    """Raise Stopped where one of these signals comes; `once`: and let none that follows cut off how that is heeded.

    What is ignored stays ignored: nohup lets a process outlive its terminal. Outside the main thread no signal can be
    heeded, and none is.
    """
    heeded: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for other in heeded if once else ():
            signal.signal(other, signal.SIG_IGN)
        raise Stopped

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        heeded += [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
