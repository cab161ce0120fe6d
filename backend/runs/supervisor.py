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
from backend.runs.events import EventReader
from backend.runs.layout import TRASH, RunFolder, list_runs
from backend.runs.view import Status

PROJECT_DIR = Path(__file__).resolve().parents[2]
TRAINER = "backend.training"
GRACE_SECONDS = 60.0
CREATE_TIME_TOLERANCE = 1.5
LIVE: frozenset[Status] = frozenset({"starting", "running", "stopping"})
PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "gradio")
TAIL_BYTES = 64 * 1024
Process = psutil.Process


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(
    run: RunFolder,
    *,
    python: str = sys.executable,
    num_processes: int = 1,
    device: str = "auto",
    resume: bool = False,
    port: int | None = None,
    trainer: str = TRAINER,
) -> list[str]:
    """Return the command line that trains a run. The trainer itself sets precision and device."""
    launch = [python, "-m", "accelerate.commands.launch", "--num_machines", "1", "--num_processes", str(num_processes)]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    if num_processes > 1:  # torchrun under its name for cards; the trainer itself chooses gloo where there are none
        launch += ["--multi_gpu", "--main_process_port", str(port or free_port())]
    elif device == "cpu":
        launch += ["--cpu"]
    launch += ["--module", trainer, str(run.path)]
    return launch + (["--resume"] if resume else [])


def display(arguments: Sequence[str]) -> str:
    """Return a command line as one would type it in this system's shell."""
    return subprocess.list2cmdline(arguments) if os.name == "nt" else shlex.join(arguments)


def environment(*, gpu_ids: str = "", num_processes: int = 1) -> dict[str, str]:
    """Return the variables that the trainer starts with."""
    variables = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "ACCELERATE_DISABLE_RICH": "1",
    }
    if gpu_ids:
        variables["CUDA_VISIBLE_DEVICES"] = gpu_ids
    if num_processes > 1:
        variables.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_processes)))
    return variables


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
        UserError: The run is being started or is running.
    """
    try:
        handle = os.open(run.launch_lock_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        if time.time() - run.launch_lock_path.stat().st_mtime < GRACE_SECONDS:
            raise UserError("run_starting", value=run.name) from None
        run.launch_lock_path.unlink(missing_ok=True)  # left by a process that was killed while launching
        handle = os.open(run.launch_lock_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        if status(run) in LIVE:
            raise UserError("run_running", value=run.name)
        yield
    finally:
        os.close(handle)
        run.launch_lock_path.unlink(missing_ok=True)


def launch(
    run: RunFolder,
    *,
    python: str = sys.executable,
    num_processes: int = 1,
    gpu_ids: str = "",
    device: str = "auto",
    resume: bool = False,
    trainer: str = TRAINER,
) -> int:
    """Start the trainer of a run, detached, with all that it prints in console.log.

    Returns:
        The process id. process.json is written before this returns.

    Raises:
        UserError: It runs already, or cannot be started.
    """
    arguments = command(run, python=python, num_processes=num_processes, device=device, resume=resume, trainer=trainer)
    detached: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
    with launching(run):
        control.Control(run.control_dir).clear()
        run.queued_path.unlink(missing_ok=True)
        try:
            with run.console_path.open("ab") as console:
                process = subprocess.Popen(
                    arguments,
                    cwd=PROJECT_DIR,
                    env=environment(gpu_ids=gpu_ids, num_processes=num_processes),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    **detached,
                )
        except OSError as error:
            raise UserError("launch_failed", value=python, reason=error.strerror or str(error)) from error
        _children.append(process)
        record = {
            "pid": process.pid,
            "create_time": _create_time(process.pid),
            "argv": arguments,
            "host": socket.gethostname(),
            "versions": versions(),
            "started": time.time(),
            "num_events": sum(1 for _ in run.events_path.open("rb")) if run.events_path.exists() else 0,
        }
        write_text(run.process_path, json.dumps(record, indent=1, ensure_ascii=False))
    return process.pid


# Started by this process: kept so that their exit is collected and a zombie is never taken for a living trainer.
_children: list[subprocess.Popen[bytes]] = []


def _create_time(pid: int) -> float:
    try:
        return Process(pid).create_time()
    except psutil.Error:
        return time.time()


def read_process(run: RunFolder) -> dict[str, Any]:
    """Return process.json; empty when the run was never started or the file is damaged."""
    try:
        record = json.loads(run.process_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def find_process(pid: int | None, create_time: float | None) -> Process | None:
    """Return the living process with this id and creation time; a recycled id is nobody's."""
    if not pid or create_time is None:
        return None
    try:
        process = Process(pid)
        same = abs(process.create_time() - create_time) < CREATE_TIME_TOLERANCE
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def last_events(run: RunFolder) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the last `start` and the `end` after it, as far as the end of the log holds them."""
    size = run.events_path.stat().st_size if run.events_path.exists() else 0
    start, end = _start_and_end(run, max(0, size - TAIL_BYTES))
    if start is None and end is None and size > TAIL_BYTES:
        start, end = _start_and_end(run, 0)
    return start, end


def _start_and_end(run: RunFolder, offset: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    start = end = None
    for event in EventReader(run.events_path, offset).read():
        if event["kind"] == "start":
            start, end = event, None
        elif event["kind"] == "end":
            end = event
    return start, end


def processes(run: RunFolder) -> list[Process]:
    """Return the living processes of a run: accelerate's launcher and the trainer itself."""
    for child in _children:
        child.poll()
    record = read_process(run)
    start, _ = last_events(run)
    pairs = [(record.get("pid"), record.get("create_time"))]
    if start:
        pairs.append((start.get("pid"), start.get("create_time")))
    found = (find_process(pid, created) for pid, created in pairs)
    return [process for process in found if process is not None]


def status(run: RunFolder) -> Status:
    """Return what has become of a run, from its folder and the process table."""
    record = read_process(run)
    if not record:
        return "waiting"
    start, end = last_events(run)
    before = int(record.get("num_events", 0))  # what earlier launches of this run wrote
    if end is not None and end["seq"] > before:
        return end.get("status", "failed")
    if not processes(run):
        return "crashed"
    if (run.control_dir / "stop").exists():
        return "stopping"
    return "running" if start is not None and start["seq"] > before else "starting"


def request(run: RunFolder, what: control.Request) -> None:
    """Ask a running trainer to stop, save or sample.

    Raises:
        UserError: The run is not running.
    """
    if status(run) not in LIVE:
        raise UserError("run_not_running", value=run.name)
    control.ask(run.control_dir, what)


def end_overdue(run: RunFolder, *, grace_seconds: float = GRACE_SECONDS) -> bool:
    """End the process tree of a run that was asked to stop longer ago than the grace; called now and then.

    Returns:
        Whether it had to be ended.
    """
    asked = run.control_dir / "stop"
    try:
        overdue = time.time() - asked.stat().st_mtime > grace_seconds
    except FileNotFoundError:
        return False
    if not overdue or status(run) not in LIVE:
        return False
    kill(run)
    return True


def kill(run: RunFolder, *, grace_seconds: float = 5.0) -> None:
    """End every process of a run: politely, then not."""
    tree = {process for root in processes(run) for process in (root, *_descendants(root))}
    for process in tree:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(list(tree), timeout=grace_seconds)
    for process in alive:
        _quietly(process.kill)
    psutil.wait_procs(alive, timeout=grace_seconds)


def _descendants(process: Process) -> list[Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _quietly(action: Any) -> None:
    try:
        action()
    except psutil.NoSuchProcess:
        return


def delete(run: RunFolder) -> Path:
    """Move a run to the trash of its runs folder.

    Raises:
        UserError: It is running, or the folder cannot be moved.
    """
    if status(run) in LIVE:
        raise UserError("run_running", value=run.name)
    trash = run.path.parent / TRASH
    target = trash / run.id
    try:
        trash.mkdir(exist_ok=True)
        if target.exists():
            target = trash / f"{run.id}-{time.time_ns()}"
        run.path.rename(target)
    except OSError as error:
        raise UserError("file_unwritable", value=str(run.path), reason=error.strerror or str(error)) from error
    return target


def restore(runs_dir: Path, trashed: Path) -> RunFolder:
    """Bring a run back from the trash."""
    target = runs_dir / trashed.name
    try:
        trashed.rename(target)
    except OSError as error:
        raise UserError("file_unwritable", value=str(target), reason=error.strerror or str(error)) from error
    return RunFolder(target)


def empty_trash(runs_dir: Path) -> None:
    """Delete what is in the trash, for good."""
    shutil.rmtree(runs_dir / TRASH, ignore_errors=True)


def reattach(runs_dir: Path) -> list[RunFolder]:
    """Return the runs that are alive, whoever started them."""
    return [run for run in list_runs(runs_dir) if run.process_path.exists() and status(run) in LIVE]
