"""Start, watch, stop and delete runs from outside. The trainer is detached: our end is not its end."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from backend.config.presets import write_text
from backend.config.problems import UserError
from backend.runs import control
from backend.runs.events import count_lines
from backend.runs.layout import TRASH, RunFolder, list_runs
from backend.runs.locks import take
from backend.runs.processes import LIVE, children, last_events, process_tree, processes, status

PROJECT_DIR = Path(__file__).resolve().parents[2]
TRAINER = "backend.training"
ACCELERATE_CONFIG = Path(__file__).with_name("accelerate.yaml")
GRACE_SECONDS = 60.0
KILL_SECONDS = 5.0
PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "onnxruntime", "gradio")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launcher(
    *, python: str = sys.executable, num_processes: int = 1, device: str = "auto", port: int | None = None
) -> list[str]:
    """Return the beginning of a command line that runs a module in so many processes: accelerate's launcher."""
    launch = [python, "-m", "accelerate.commands.launch", "--config_file", str(ACCELERATE_CONFIG)]
    launch += ["--num_machines", "1", "--num_processes", str(num_processes)]
    launch += ["--num_cpu_threads_per_process", str(num_threads(num_processes))]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    if num_processes > 1:  # torchrun under its name for cards; the trainer itself chooses gloo where there are none
        launch += ["--multi_gpu", "--main_process_port", str(port or free_port())]
    elif device == "cpu":
        launch += ["--cpu"]
    return [*launch, "--module"]


def command(
    run: RunFolder,
    *,
    python: str = sys.executable,
    num_processes: int = 1,
    device: str = "auto",
    resume: bool = False,
    port: int | None = None,
    trainer: str = TRAINER,
    is_distributed: bool = True,
) -> list[str]:
    """Return the command line that works on a run. The trainer itself sets precision and device."""
    launch = [python, "-m"]
    if is_distributed:
        launch = launcher(python=python, num_processes=num_processes, device=device, port=port)
    return [*launch, trainer, str(run.path.absolute()), *(["--resume"] if resume else [])]


def display(arguments: Sequence[str]) -> str:
    """Return a command line as one would type it in this system's shell."""
    return subprocess.list2cmdline(arguments) if os.name == "nt" else shlex.join(arguments)


def num_threads(num_processes: int) -> int:
    """Return how many threads each process computes with; accelerate would give it a single one."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdigit() and int(asked):
        return int(asked)
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return max(1, min(cores, allowed) // num_processes)


def environment(*, gpu_ids: str = "") -> dict[str, str]:
    """Return the variables that the trainer starts with: ours, with the cards that it may see."""
    variables = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "ACCELERATE_DISABLE_RICH": "1",
    }
    return {**variables, "CUDA_VISIBLE_DEVICES": gpu_ids} if gpu_ids else variables


def versions() -> dict[str, str]:
    """Return the versions of the packages that a run depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def launching(run: RunFolder) -> Iterator[None]:
    """Hold the right to start a run, so that a double click or a second window starts it once.

    Raises:
        UserError: The run is being started or is running, or its folder is gone or cannot be written to.
    """
    try:
        lock = run.launch_lock_path.open("ab")
    except OSError as error:
        raise UserError("file_unwritable", value=str(run.path), reason=error.strerror or str(error)) from error
    with lock:
        if not take(lock):
            raise UserError("run_starting", value=run.name)
        if status(run) in LIVE:
            raise UserError("run_running", value=run.name)
        yield


def launch(
    run: RunFolder,
    *,
    python: str = sys.executable,
    num_processes: int = 1,
    gpu_ids: str = "",
    device: str = "auto",
    resume: bool = False,
    trainer: str = TRAINER,
    is_distributed: bool = True,
) -> int:
    """Start the trainer of a run, detached, with all that it prints in console.log.

    Returns:
        The process id. process.json is written before this returns.

    Raises:
        UserError: It runs already, or cannot be started.
    """
    arguments = command(
        run,
        python=python,
        num_processes=num_processes,
        device=device,
        resume=resume,
        trainer=trainer,
        is_distributed=is_distributed,
    )
    variables = environment(gpu_ids=gpu_ids)
    with launching(run):
        control.Control(run.control_dir).clear()
        run.queued_path.unlink(missing_ok=True)
        earlier = {"num_events": count_lines(run.events_path)[0], "console_bytes": _size(run.console_path)}
        process = _spawn(arguments, variables, run.console_path)
        children.append(process)
        record = {
            "pid": process.pid,
            "create_time": _create_time(process.pid),
            "argv": arguments,
            "host": socket.gethostname(),
            "versions": versions(),
            "started": time.time(),
            **earlier,
        }
        try:
            write_text(run.process_path, json.dumps(record, indent=1, ensure_ascii=False))
        except UserError:
            process.kill()  # nobody could find it again
            raise
    return process.pid


def _spawn(arguments: list[str], variables: dict[str, str], console_path: Path) -> subprocess.Popen[bytes]:
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    try:
        with console_path.open("ab") as console:
            return subprocess.Popen(
                arguments,
                cwd=PROJECT_DIR,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                **detached,
            )
    except OSError as error:
        raise UserError("launch_failed", value=arguments[0], reason=error.strerror or str(error)) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _create_time(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return time.time()


def request(run: RunFolder, what: control.Request) -> None:
    """Ask a running trainer to stop, save or sample.

    Raises:
        UserError: The run is not running.
    """
    if status(run) not in LIVE:
        raise UserError("run_not_running", value=run.name)
    control.ask(run.control_dir, what)


def end_overdue(run: RunFolder, *, grace_seconds: float = GRACE_SECONDS) -> bool:
    """End the processes of a run that does not stop, or that hangs after its end: first politely, then not.

    Does not wait: it is called now and then, and takes the next step of the ladder each time.

    Returns:
        Whether it is overdue.
    """
    since = _should_be_gone_since(run) if processes(run) else None
    overdue_seconds = time.time() - since - grace_seconds if since is not None else -1.0
    if overdue_seconds < 0:
        return False
    for process in process_tree(run):
        try:
            process.kill() if overdue_seconds > KILL_SECONDS else process.terminate()
        except psutil.Error:
            continue  # it ended with the one before, or is another user's
    return True


def _should_be_gone_since(run: RunFolder) -> float | None:
    if status(run) in LIVE:
        asked = run.control_dir / "stop"
        return asked.stat().st_mtime if asked.exists() else None
    _, end = last_events(run)
    return end["t"] if end else None


def delete(run: RunFolder) -> Path:
    """Move a run to the trash of its runs folder, and out of the queue.

    Raises:
        UserError: It is running, or the folder cannot be moved.
    """
    if status(run) in LIVE:
        raise UserError("run_running", value=run.name)
    trash = run.path.parent / TRASH
    target = trash / run.id
    try:
        run.queued_path.unlink(missing_ok=True)
        trash.mkdir(exist_ok=True)
        if target.exists():
            target = trash / f"{run.id}-{time.time_ns()}"
        run.path.rename(target)
    except OSError as error:
        raise UserError("file_unwritable", value=str(run.path), reason=error.strerror or str(error)) from error
    return target


def restore(runs_dir: Path, trashed: Path) -> RunFolder:
    """Bring a run back from the trash.

    Raises:
        UserError: It is no longer there, or a run with its name is.
    """
    target = runs_dir / trashed.name
    try:
        trashed.rename(target)
    except OSError as error:
        raise UserError("file_unwritable", value=str(target), reason=error.strerror or str(error)) from error
    return RunFolder(target)


def empty_trash(runs_dir: Path) -> None:
    """Delete what is in the trash, for good.

    Raises:
        UserError: Some of it cannot be deleted.
    """
    try:
        shutil.rmtree(runs_dir / TRASH)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError("file_unwritable", value=str(error.filename), reason=error.strerror or str(error)) from error


def reattach(runs_dir: Path) -> list[RunFolder]:
    """Return the runs that are alive, whoever started them."""
    return [run for run in list_runs(runs_dir) if status(run) in LIVE]
