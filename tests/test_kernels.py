"""A run's kernels, forked or started as new processes: they share nothing, obey signals, and leave nothing behind."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from jupyter_core.utils import run_sync

from lib.base.files import PROJECT
from lib.run import kernels
from lib.run.forking import KernelParent, can_fork
from lib.run.kernels import Kernel, kernel_starter
from lib.run.parameters import NOTEBOOKS, notebook_path


@pytest.fixture(autouse=True)
def _a_parent_of_its_own(monkeypatch):
    """A run has a parent of its own here, as on the command line (see conftest)."""
    monkeypatch.setattr(kernels, "KernelParent", KernelParent)


forks = pytest.mark.skipif(not can_fork(), reason="forks no kernels here")


@forks
def test_a_temporary_folder_with_too_long_a_name_for_sockets_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 80)))
    Path(tempfile.tempdir).mkdir()
    with kernels._folder() as folder:
        assert len(str(folder)) < 70 and folder.is_dir()


def answers(kernel: Kernel, code: str, **expressions: str) -> dict[str, str]:
    """Run code in a kernel and return the values of expressions after it."""

    async def ask() -> dict:
        return await kernel.client.execute(code, user_expressions=expressions, reply=True, timeout=60)

    reply = run_sync(ask)()["content"]
    assert reply["status"] == "ok", reply
    return {name: answer["data"]["text/plain"] for name, answer in reply["user_expressions"].items()}


def open_files(process: psutil.Process) -> set[str]:
    """Return what the descriptors of a process stand for, such as `socket:[4711]`, but the standard ones."""
    found = Path(f"/proc/{process.pid}/fd").iterdir()
    return {str(f.readlink()) for f in found if f.is_symlink() and int(f.name) > 2}


def write_notebook(path: Path, code: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), path)
    return path


@pytest.fixture(params=[pytest.param("auto", marks=forks), "spawn"])
def start(request, tmp_path):
    """Return a function that starts the kernel of a notebook with these imports, in each of the two ways."""
    with kernel_starter(request.param, "duckdb") as start_kernel:
        kernels = []

        def start(imports: str) -> Kernel:
            notebook = write_notebook(tmp_path / f"{len(kernels)}.ipynb", imports)
            kernels.append(start_kernel(notebook, tmp_path / f"{len(kernels)}.log"))
            kernels[-1].wait_until_ready()
            return kernels[-1]

        yield start
        for kernel in kernels:
            kernel.stop()


def test_two_kernels_draw_different_random_numbers_and_have_their_notebooks_imports_done(start):
    code = "import os, random, sys, tempfile, uuid; before = 'numpy' in sys.modules; import numpy"
    drawn = {
        "python": "random.random()",
        "numpy": "numpy.random.random()",
        "uuid": "uuid.uuid4()",
        "pid": "os.getpid()",
    }
    first, second = (answers(start("import numpy"), code, before="before", **drawn) for _ in range(2))
    assert first.pop("before") == second.pop("before") == "True"
    assert all(first[name] != second[name] for name in drawn), (first, second)


def test_a_kernel_sees_the_environment_of_its_start_and_logs_what_its_process_writes(start, monkeypatch, tmp_path):
    monkeypatch.setenv("GIVEN_LATER", "yes")
    kernel = start("import math")
    seen = answers(
        kernel, "import os; os.write(1, b'to the log')", given="os.environ['GIVEN_LATER']", place="os.getcwd()"
    )
    assert seen == {"given": "'yes'", "place": repr(str(PROJECT))}
    assert "to the log" in (tmp_path / "0.log").read_text()


def test_a_cell_can_be_interrupted_and_the_next_one_runs(start, tmp_path):
    kernel = start("")
    begun = tmp_path / "begun"
    cell = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(60)"
    sleeping = kernel.client.execute(cell, stop_on_error=False)
    while not begun.exists():
        time.sleep(0.05)
    kernel.manager.interrupt_kernel()

    async def reply_to_it() -> dict:
        return await kernel.client._async_recv_reply(sleeping, timeout=30)

    reply = run_sync(reply_to_it)()
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert answers(kernel, "", two="1 + 1") == {"two": "2"}


def test_the_death_of_a_kernel_is_noticed(start):
    kernel = start("")
    kernel.client.execute("import os; os._exit(3)")
    deadline = time.monotonic() + 30
    while kernel.manager.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def looks_clean(parent: psutil.Process) -> bool:
    """Whether a parent of kernels has no thread, connection or file, and its kernels none in common."""
    sockets = [f for f in open_files(parent) if f.startswith("socket:")]
    held = [
        f for k in parent.children() for f in open_files(k) if f.startswith(("socket:", "pipe:", "anon_inode:[pid"))
    ]
    return (
        parent.num_threads() == 1
        and parent.open_files() == parent.net_connections("inet") == []
        and len(sockets) == 1  # the pipe to the run
        and len(held) == len({*held, *sockets}) - 1
    )


@forks
@pytest.mark.parametrize("target", ["duckdb", "postgres"])
def test_the_parent_of_forked_kernels_holds_no_thread_no_connection_and_no_file(tmp_path, target):
    own = psutil.Process()
    before = set(own.children())
    with kernel_starter("auto", target) as start_kernel:
        [parent] = set(own.children()) - before
        kernels = [start_kernel(notebook_path(name), tmp_path / f"{name}.log") for name in NOTEBOOKS]
        for kernel in kernels:
            kernel.wait_until_ready()
        assert len(parent.children()) == len(NOTEBOOKS) and looks_clean(parent)
        for name, kernel in zip(NOTEBOOKS, kernels, strict=True):
            loaded = answers(
                kernel, "import sys", pandas="'pandas' in sys.modules", dbt="'dbt.cli.main' in sys.modules"
            )
            assert loaded == {"pandas": "True", "dbt": str(name >= "03")}
        for kernel in kernels:
            kernel.stop()
    assert not parent.is_running()


@forks
def test_a_run_that_is_over_before_its_kernels_are_ready_ends_them_too(tmp_path):
    own = psutil.Process()
    before = set(own.children())
    notebook = write_notebook(tmp_path / "a.ipynb", "")
    for wait in (0.2, 0.4, 0.6, 0.8):
        with kernel_starter("auto", "duckdb") as start_kernel:
            kernels = [start_kernel(notebook, tmp_path / f"{number}.log") for number in range(3)]
            time.sleep(wait)
            below = own.children(recursive=True)
        for kernel in kernels:
            kernel.stop()
        assert psutil.wait_procs(set(below) - before, timeout=15)[1] == []


@forks
def test_where_an_import_has_started_a_thread_kernels_are_new_processes(tmp_path, monkeypatch):
    (tmp_path / "starts_a_thread.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PROJECT}")
    with kernel_starter("auto", "duckdb") as start_kernel:
        kernel = start_kernel(write_notebook(tmp_path / "a.ipynb", "import starts_a_thread"), tmp_path / "a.log")
        kernel.wait_until_ready()
        loaded = answers(kernel, "import os, sys", loaded="'starts_a_thread' in sys.modules", pid="os.getpid()")
        assert loaded["loaded"] == "False"
        assert "ipykernel_launcher" in " ".join(psutil.Process(int(loaded["pid"])).cmdline())
        kernel.stop()


_RUN = """
import sys, time
from pathlib import Path
from lib.run import forking
forking.start_fresh()
import lib.run.runner
from lib.run.kernels import kernel_starter
with kernel_starter(sys.argv[1], "duckdb") as start_kernel:
    kernel = start_kernel(Path(sys.argv[2]), Path(sys.argv[2] + ".log"))
    kernel.wait_until_ready()
    print("ready", flush=True)
    time.sleep(3600)
"""


@pytest.mark.parametrize("how", [pytest.param("auto", marks=forks), "spawn"])
def test_what_a_killed_run_leaves_ends_or_is_cleared_by_the_next_and_a_living_run_keeps_its_own(
    how, tmp_path, monkeypatch
):
    temporary = Path(tempfile.mkdtemp(prefix="t-"))  # the paths of sockets must be short
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    notebook = write_notebook(tmp_path / "a.ipynb", "import math")
    command = [sys.executable, "-c", _RUN, how, str(notebook)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for run in runs:
            assert run.stdout.readline() == "ready\n"
        killed, living = runs
        below = psutil.Process(killed.pid).children(recursive=True)
        assert below and len(list(temporary.glob("shop-kernels-*/*.json"))) == 2
        assert how == "spawn" or looks_clean(below[0])
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert psutil.wait_procs(below, timeout=15)[1] == []
        assert len(list(temporary.glob("shop-kernels-*"))) == 2
        with kernel_starter(how, "duckdb"):
            pass
        [left] = temporary.glob("shop-kernels-*")
        assert list(left.glob("*.json")) and living.poll() is None
    finally:
        for run in runs:
            run.terminate()
            run.communicate()
        shutil.rmtree(temporary)
