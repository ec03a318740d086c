"""The kernels of a run: fresh ones of this very Python, talking over IPC sockets, with their notebooks' imports done.

Where it is safe they are forked (`lib.run.forking`); elsewhere each is a process started ahead of need.
"""

import ast
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import KernelProvisionerBase
from jupyter_core.utils import run_sync
from traitlets import Instance, Unicode

from lib.base.errors import LakeError
from lib.base.files import PROJECT, file_lock
from lib.run.forking import KernelParent, Order, can_fork

_PREFIX = "shop-kernels-"
#: Characters of the temporary folder with which a socket's path is still short enough.
_LONGEST = 50


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this process, without a history of what is typed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python", env={})


class _ForkedKernel(KernelProvisionerBase):
    """How a kernel manager starts, watches and ends a kernel that a `KernelParent` forks."""

    kernel_parent = Instance(KernelParent)
    imports = Unicode()
    log_file = Unicode()
    _is_launched = False

    @property
    def has_process(self) -> bool:
        return self._is_launched

    async def pre_launch(self, **options: Any) -> dict[str, Any]:
        manager = self.parent
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        return await super().pre_launch(cmd=manager.format_kernel_cmd(), **options)

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        order = Order(self.kernel_id, self.imports, cmd, options["cwd"], options["env"], self.log_file)
        self.kernel_parent.start(order)
        self._is_launched = True
        return self.connection_info

    async def poll(self) -> int | None:
        return self.kernel_parent.exit_code(self.kernel_id)

    async def wait(self) -> int | None:
        while (code := await self.poll()) is None and self.kernel_parent.pid_of(self.kernel_id):
            await asyncio.sleep(0.02)
        self._is_launched = False
        return code

    async def send_signal(self, signum: int) -> None:
        # One that is still to be forked ends with the parent: only a run that is over stops it.
        if pid := self.kernel_parent.pid_of(self.kernel_id):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signum)

    async def kill(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Nothing is left to do: the manager removes the sockets."""


class Kernel:
    """A kernel and the one client that talks to it.

    There is one client because two with one identity, as `manager.client()` makes them, take each other's replies.
    It has no heartbeat: whether the kernel lives is asked of its process.
    """

    def __init__(self, folder: Path, imports: str, log: Path, parent: KernelParent | None) -> None:
        self.manager = KernelManager(
            kernel_name="python3",
            transport="ipc",
            kernel_spec_manager=_ThisPython(),
            connection_file=str(folder / f"{uuid.uuid4().hex[:8]}.json"),
            client_factory=AsyncKernelClient,
        )
        if parent:
            self.manager.kernel_id = uuid.uuid4().hex
            self.manager.provisioner = _ForkedKernel(
                kernel_id=self.manager.kernel_id,
                kernel_spec=self.manager.kernel_spec,
                parent=self.manager,
                kernel_parent=parent,
                imports=imports,
                log_file=str(log),
            )
            self.manager.start_kernel(cwd=str(PROJECT))
        else:
            with log.open("ab") as file:
                self.manager.start_kernel(cwd=str(PROJECT), stdout=file, stderr=file)
        # An asynchronous client: waiting for output, nbclient must still notice a dead kernel or a time limit.
        self.client: AsyncKernelClient = self.manager.client()
        self.client.allow_stdin = False
        self.client.start_channels(hb=False)
        if not parent:
            self.client.execute(f"exec({imports!r}, {{}})", silent=True, store_history=False)

    def wait_until_ready(self) -> None:
        """Return when the kernel's imports are done and it answers; raise RuntimeError where it does not."""
        run_sync(self.client.wait_for_ready)(timeout=120)

    def stop(self) -> None:
        """End the kernel."""
        with contextlib.suppress(Exception):
            self.manager.shutdown_kernel(now=True)
        self.client.stop_channels()


@contextlib.contextmanager
def kernel_starter(how: str, target: str) -> Iterator[Callable[[Path, Path], Kernel]]:
    """Yield a function that starts the kernel of a notebook, given the log of its output; it returns at once.

    `how` is `runner.kernels` of pipeline.yml; a notebook that builds models gets dbt with the adapter of the target.
    """
    parent = KernelParent() if how == "auto" and can_fork() else None
    try:
        with _folder() as folder:
            yield lambda notebook, log: Kernel(folder, _imports(notebook, target), log, parent)
    finally:
        if parent:
            parent.close()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Make the folder of a run's sockets and keys; remove those of runs that were killed.

    The paths of sockets may have about 100 bytes, so the folder is in the system's temporary one. Its lock says that
    its run lives; it gets its name when it is locked, so that no other run finds it before.
    """
    temporary = next((p for p in (Path(tempfile.gettempdir()), Path("/tmp")) if len(str(p)) <= _LONGEST), Path("/tmp"))
    for left in temporary.glob(f"{_PREFIX}*"):
        with contextlib.suppress(LakeError, OSError), file_lock(left / "lock", 0, ""):
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=temporary))
    with file_lock(made / "lock", 0, ""):
        folder = made.rename(made.with_name(made.name[1:]))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _imports(notebook: Path, target: str) -> str:
    """Return code that does the notebook's imports, each on its own so that one that fails stops no other."""
    cells = nbformat.read(notebook, as_version=4).cells
    imports = [
        ast.unparse(node)
        for cell in cells
        if cell.cell_type == "code"
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    tries = [f"try:\n    {line}\nexcept Exception:\n    pass" for line in imports]
    return "\n".join(
        [*tries, "import sys", f"if 'lib.model.dbt' in sys.modules: sys.modules['lib.model.dbt'].preload({target!r})"]
    )
