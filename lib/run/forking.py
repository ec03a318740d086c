"""Kernels forked from one parent process that has done the notebooks' imports, which cost more than most notebooks do.

The parent holds no thread, connection or file that a kernel could share. It imports and forks as the run asks it to,
one order after another. It ends, and all its kernels with it, when the run closes their pipe, however the run ended.
What a run wants of its kernels, and how they are started where forking is not safe, is in `lib.run.kernels`.
"""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import NoReturn

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)

#: Charts go into the notebook; and no kernel needs a thread that looks whether its parent lives.
_ENVIRONMENT = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "JPY_PARENT_PID": "1"}


_is_fresh = False


def start_fresh() -> None:
    """Let the parent be a fork of this process, so that it need not import again what this one has imported.

    To be called by a process that has just started, imports from here on, and does nothing else before its run.
    """
    global _is_fresh
    _is_fresh = True
    _import_without_threads()


def _import_without_threads() -> None:
    """See to it that what this process imports starts no thread.

    OpenBLAS would start one for each core, Arrow's allocator one of its own. jsonschema would build a grammar of
    international addresses, which takes most of a second and which nothing here uses: it does without.
    """
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def can_fork() -> bool:
    """Whether this system forks processes safely and reports when one ends: Linux since 5.3."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return sys.platform == "linux"


@dataclass(frozen=True)
class Order:
    """What the parent needs to know of a kernel; `command` starts it as a new process."""

    kernel_id: str
    imports: str
    command: list[str]
    folder: str
    environment: dict[str, str]
    log: str


class KernelParent:
    """The run's side of the parent process."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        self._pids: dict[str, int] = {}
        self._exit_codes: dict[str, int] = {}
        self._is_gone = False
        global _is_fresh
        if _is_fresh and _threads() == 1:
            _is_fresh = False
            sys.stdout.flush()
            sys.stderr.flush()
            self.pid = os.fork()
            if not self.pid:
                self._pipe.close()
                serve(theirs)
        else:
            os.set_inheritable(theirs.fileno(), True)
            code = f"from lib.run import forking; forking.serve(forking.Connection({theirs.fileno()}))"
            self.pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
        theirs.close()

    def start(self, order: Order) -> None:
        """Have a kernel forked as soon as what it needs is imported."""
        with contextlib.suppress(OSError):  # where the parent is gone, the kernel counts as dead
            self._pipe.send(order)

    def pid_of(self, kernel_id: str) -> int | None:
        """Return a kernel's process id; None before it is forked and after its end."""
        return None if self.exit_code(kernel_id) is not None else self._pids.get(kernel_id)

    def exit_code(self, kernel_id: str) -> int | None:
        """Return how a kernel ended, None while it lives or is still to be forked; -9 where its parent died."""
        try:
            while not self._is_gone and self._pipe.poll():
                found, pid, code = self._pipe.recv()
                self._pids[found] = pid
                if code is not None:
                    self._exit_codes[found] = code
        except (EOFError, OSError):
            self._is_gone = True
        return self._exit_codes.get(kernel_id, -signal.SIGKILL if self._is_gone else None)

    def close(self) -> None:
        """End the parent, even in the midst of an import, and with it every kernel; return when they are gone."""
        self._is_gone = True
        self._pipe.close()
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def serve(pipe: Connection) -> NoReturn:
    """Be the parent: import and fork as ordered until the pipe closes or a signal ends this; then end all kernels."""
    kernels: dict[int, tuple[int, str]] = {}
    try:
        _separate(pipe.fileno())
        _import_without_threads()
        os.environ |= _ENVIRONMENT
        _import_kernel()
        while True:
            for ready in wait([pipe, *kernels]):
                if isinstance(ready, int):
                    pid, kernel_id = kernels.pop(ready)
                    os.close(ready)
                    pipe.send((kernel_id, pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
                else:
                    order = pipe.recv()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        exec(order.imports, {})
                    pid = _fork(order, pipe)
                    kernels[os.pidfd_open(pid)] = pid, order.kernel_id
                    pipe.send((order.kernel_id, pid, None))
    except (EOFError, ConnectionError, SystemExit):
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        for pid, _ in kernels.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os._exit(0)


def _import_kernel() -> None:
    """Import what every kernel needs, but for the debugger, which takes half as long as all else of its start."""
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    import ipykernel.debugger
    import ipykernel.kernelapp  # noqa: F401

    del sys.modules["debugpy"]


def _separate(keep: int) -> None:
    """Leave the run's terminal, signals and open files."""
    os.setsid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for standard in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), standard)
    _close_files(keep)


def _close_files(keep: int = -1) -> None:
    """Close every file but the standard ones, also those that the process which started the run left open."""
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor != keep:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _fork(order: Order, pipe: Connection) -> int:
    """Return the process id of a new kernel."""
    parent = os.getpid()
    has_threads = _threads() > 1
    gc.collect()
    gc.freeze()  # the child's collections leave these objects alone, and so their memory is shared
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # here and in the child, whichever comes first: signals go to the group
            os.setpgid(pid, pid)
        return pid
    try:
        pipe.close()
        _close_files()
        os.setpgid(0, 0)
        end_with_parent(parent, signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.chdir(order.folder)
        os.environ.clear()
        os.environ.update(order.environment | _ENVIRONMENT)
        if has_threads:
            # Something that a notebook imports started one: nothing of this process may be used then.
            os.execv(order.command[0], order.command)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()
        sys.argv = order.command[1:]
        from ipykernel.kernelapp import IPKernelApp

        IPKernelApp.launch_instance(order.command[3:])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def end_with_parent(parent: int, number: int) -> None:
    """See to it, on Linux, that this new process gets a signal when its parent ends, or end it where that has ended."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, number)
    if os.getppid() != parent:
        os._exit(1)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
