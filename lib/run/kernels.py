"""Kernels of this very Python, talking over IPC sockets; started ahead of need, with their imports done.

A cold kernel with pandas and matplotlib costs seconds, a warmed one tenths.
"""

import ast
import contextlib
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_core.utils import run_sync

from lib.base.files import PROJECT


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this process."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python", env={})


class Kernel:
    """A running kernel, the one client that talks to it, and the folder of their sockets.

    There is one client because two with one identity, as `manager.client()` makes them, take each other's replies.
    It has no heartbeat: whether the kernel lives is asked of its process.
    """

    def __init__(self, log: Path) -> None:
        # Socket paths have a length limit of about 100 bytes, so they live in a short folder of their own.
        self._folder = Path(tempfile.mkdtemp(prefix="shop-"))
        self._log = log.open("ab")
        self.manager = KernelManager(
            kernel_name="python3",
            transport="ipc",
            kernel_spec_manager=_ThisPython(),
            connection_file=str(self._folder / f"{uuid.uuid4().hex[:8]}.json"),
            client_factory=AsyncKernelClient,
        )
        self.manager.start_kernel(cwd=str(PROJECT), stdout=self._log, stderr=self._log)
        # An asynchronous client: waiting for output, nbclient must still notice a dead kernel or a time limit.
        self.client: AsyncKernelClient = self.manager.client()
        self.client.allow_stdin = False
        self.client.start_channels(hb=False)

    def warm_up(self, notebook: Path, target: str) -> None:
        """Let the kernel do a notebook's imports, and dbt's where it will run models; returns at once."""
        self.client.execute(_imports(notebook, target), silent=True, store_history=False)

    def wait_until_ready(self) -> None:
        """Return when the kernel has done what it was given and answers; raise RuntimeError where it does not."""
        run_sync(self.client.wait_for_ready)(timeout=120)

    def stop(self) -> None:
        """End the kernel and remove its sockets."""
        with contextlib.suppress(Exception):
            self.manager.shutdown_kernel(now=True)
        self.client.stop_channels()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


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
