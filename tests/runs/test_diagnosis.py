"""Console texts are those of accelerate 1.x, torchrun, torch and the systems, with their paths shortened."""

# ruff: noqa: E501  (quoted lines)

import json
import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from run_helpers import events, make, wait_until

from backend.config import root
from backend.config.messages import has, languages
from backend.runs.diagnosis import PATTERNS, SIGNALS, Diagnosis, diagnose, evidence, tail
from backend.runs.events import EventWriter
from backend.runs.layout import RunFolder
from backend.runs.processes import status
from backend.runs.supervisor import LIVE
from backend.runs.view import RunView, fold

LAUNCHER = """Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "<frozen runpy>", line 88, in _run_code
  File "/app/.venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 1337, in <module>
    main()
  File "/app/.venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 1000, in simple_launcher
    raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)
subprocess.CalledProcessError: Command '['/app/.venv/bin/python', '-m', 'backend.training', '/runs/cat']' {ending}
"""
NON_ZERO = LAUNCHER.format(ending="returned non-zero exit status 1.")
TRAINER = """loading the base model
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "/app/backend/training/__main__.py", line 70, in main
    status, step = train_run(run, state, reporter, resume=options.resume)
  File "/app/backend/training/loop.py", line 60, in train
"""
ELASTIC = """W1121 07:00:00.1 22 torch/distributed/elastic/multiprocessing/api.py:1010] Sending process 31 closing signal SIGTERM
E1121 07:00:00.2 22 torch/distributed/elastic/multiprocessing/api.py:984] failed (exitcode: {code}) local_rank: 1 (pid: 32)
Traceback (most recent call last):
  File "/app/.venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 313, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
backend.training FAILED
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  exitcode  : {code} (pid: 32)
  error_file: <N/A>
  traceback : {reason}
============================================================
"""
PLAIN = "  5%|▌         | 10/200 [00:05<01:40,  1.90it/s, loss=0.12]\n"

CRASHES = {
    "cuda": ("gpu_out_of_memory", TRAINER + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. "
             "GPU 0 has a total capacity of 23.65 GiB of which 12.00 MiB is free.\n" + NON_ZERO),
    "cublas": ("gpu_out_of_memory", TRAINER + "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling "
               "`cublasCreate(handle)`\n" + NON_ZERO),
    "cpu": ("out_of_memory", TRAINER + "RuntimeError: [enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: "
            "can't allocate memory: you tried to allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)\n"),
    "windows memory": ("out_of_memory", TRAINER + "OSError: [WinError 1455] 页面文件太小，无法完成操作。 Error loading "
                       '"C:\\app\\torch\\lib\\cublas64_12.dll" or one of its dependencies.\n'),
    "terminate": ("out_of_memory", PLAIN + "terminate called after throwing an instance of 'std::bad_alloc'\n"),
    "disk": ("disk_full", TRAINER + "OSError: [Errno 28] No space left on device: '/runs/cat/models/.cat.part'\n" + NON_ZERO),
    "windows disk": ("disk_full", TRAINER + "OSError: [WinError 112] 磁盘空间不足。\n" + NON_ZERO),
    "safetensors disk": ("disk_full", TRAINER + "safetensors_rust.SafetensorError: Error while serializing: IoError(Os "
                         '{ code: 28, kind: StorageFull, message: "No space left on device" })\n' + NON_ZERO),
    "driver": ("cuda_driver", TRAINER + "RuntimeError: The NVIDIA driver on your system is too old (found version 11040). "
               "Please update your GPU driver\n" + NON_ZERO),
    "kernel image": ("cuda_driver", TRAINER + "RuntimeError: CUDA error: no kernel image is available for execution on the "
                     "device\n" + NON_ZERO),
    "cpu build": ("no_gpu", TRAINER + "AssertionError: Torch not compiled with CUDA enabled\n" + NON_ZERO),
    "port": ("port_in_use", "torch.distributed.DistNetworkError: The server socket has failed to listen on any local network "
             "address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use\n" + NON_ZERO),
    "gated": ("hub_gated", TRAINER + "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1)\nAccess to "
              "model stabilityai/x is restricted. You must be authenticated to access it.\n" + NON_ZERO),
    "offline": ("hub_offline", TRAINER + "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='hf', port=443): Max "
                "retries exceeded with url: /x (Temporary failure in name resolution)\n" + NON_ZERO),
    "package": ("missing_package", TRAINER + "ModuleNotFoundError: No module named 'bitsandbytes'\n" + NON_ZERO),
    "no accelerate": ("missing_package", "/app/.venv/bin/python: No module named accelerate\n"),
    "permission": ("permission", TRAINER + "PermissionError: [Errno 13] Permission denied: '/runs/cat/models'\n" + NON_ZERO),
    "file": ("missing_file", TRAINER + "FileNotFoundError: [Errno 2] No such file or directory: '/data/a.png'\n" + NON_ZERO),
    "windows file": ("missing_file", TRAINER + "OSError: [WinError 3] 系统找不到指定的路径。: 'D:\\\\data'\n" + NON_ZERO),
    "model": ("wrong_model", TRAINER + "RuntimeError: Error(s) in loading state_dict for UNet2DConditionModel:\n\tsize mismatch "
              "for conv_in.weight: copying a param with shape torch.Size([320, 9, 3, 3])\n" + NON_ZERO),
    "half a file": ("wrong_model", TRAINER + "safetensors_rust.SafetensorError: Error while deserializing header: "
                    "incomplete metadata, file not fully covered\n" + NON_ZERO),
    "picture": ("corrupt_image", TRAINER + "OSError: image file is truncated (12 bytes not processed)\n" + NON_ZERO),
    "sigkill": ("killed", PLAIN + LAUNCHER.format(ending="died with <Signals.SIGKILL: 9>.")),
    "rank killed": ("killed", PLAIN + ELASTIC.format(code=-9, reason="Signal 9 (SIGKILL) received by PID 32")),
    "rank crashed": ("native_crash", PLAIN + ELASTIC.format(code=-11, reason="Signal 11 (SIGSEGV) received by PID 32")),
    "rank out of memory": ("gpu_out_of_memory", TRAINER + "torch.OutOfMemoryError: CUDA out of memory.\n"
                           + "Unable to shutdown process 31 via SIGTERM, forcefully exiting via SIGKILL\n"
                           + ELASTIC.format(code=1, reason="To enable traceback see: https://pytorch.org/docs")),
    "segfault": ("native_crash", PLAIN + LAUNCHER.format(ending="died with <Signals.SIGSEGV: 11>.")),
    "windows crash": ("native_crash", PLAIN + LAUNCHER.format(ending="returned non-zero exit status 3221225477.")),
    "sigterm": ("terminated", PLAIN + LAUNCHER.format(ending="died with <Signals.SIGTERM: 15>.")),
    "power cut": ("killed", PLAIN),
    "unknown": ("vanished", TRAINER + "ZeroDivisionError: division by zero\n" + NON_ZERO),
    "warned early, killed later": ("killed", "UserWarning: ImportError: no xformers, ConnectionError to the update server\n"
                                   + PLAIN * 60 + LAUNCHER.format(ending="died with <Signals.SIGKILL: 9>.")),
}  # fmt: skip


def crashed(runs_dir: Path, console: str, *, begun: bool = True) -> tuple[RunFolder, RunView]:
    run = make(runs_dir, "cat")
    run.console_path.write_text(console, encoding="utf-8")
    run.process_path.write_text(json.dumps({"pid": 2**22 + 1, "create_time": 1.0}), encoding="utf-8")
    if begun:
        writer = EventWriter(run.events_path)
        writer.emit("start", pid=2**22 + 1, create_time=1.0)
        writer.emit("phase", phase="training")
        writer.emit("step", step=12, total=100, loss=0.1)
        writer.close()
    return run, fold(RunView(), events(run))


def failed(runs_dir: Path, **error: object) -> Diagnosis:
    run, _ = crashed(runs_dir, "")
    writer = EventWriter(run.events_path)
    writer.emit("end", status="failed", step=12, error={"code": "unknown", "params": {}, "traceback": "", **error})
    writer.close()
    found = diagnose(run, fold(RunView(), events(run)))
    assert found is not None
    return found


@pytest.mark.parametrize("case", CRASHES)
def test_a_crash_is_told_by_its_cause_and_its_own_lines(runs_dir: Path, case: str) -> None:
    code, console = CRASHES[case]
    run, view = crashed(runs_dir, console)
    found = diagnose(run, view)
    assert found is not None and found.code == code
    shown = "\n".join(found.evidence)
    assert shown and "non-zero exit status" not in shown and "accelerate/commands" not in shown
    for language in languages():
        what = found.text("what", language)
        assert what and "{" not in what and not what.startswith("diagnosis.")


def test_every_code_has_its_words() -> None:
    codes = {code for code, _ in (*PATTERNS, *SIGNALS)}
    codes |= {"killed_early", "did_not_start", "vanished", "restarted", "ended_by_stop", "unknown", "user_error"}
    missing = [
        (code, part, language)
        for code in sorted(codes)
        for part in ("what", "why", "do")
        for language in languages()
        if not has(f"diagnosis.{code}.{part}", language)
    ]
    assert missing == []


def test_out_of_memory_proposes_what_is_not_done_yet(runs_dir: Path) -> None:
    found = diagnose(*crashed(runs_dir, CRASHES["cuda"][1]))
    assert found is not None
    assert {remedy.path: remedy.value for remedy in found.remedies} == {
        "training.batch_size": 2,
        "training.gradient_checkpointing": True,
    }
    assert all(remedy.path in root.by_path() for remedy in found.remedies)


def test_a_crash_before_the_first_word(runs_dir: Path) -> None:
    usage = "usage: accelerate [-h]\naccelerate: error: unrecognized arguments: --x\n"
    found = diagnose(*crashed(runs_dir, "Error: " + usage, begun=False))
    assert found is not None and found.code == "did_not_start" and "--x" in "".join(found.evidence)
    found = diagnose(*crashed(runs_dir, "", begun=False))
    assert found is not None and found.code == "killed_early"


def test_a_restart_of_the_computer_is_told(runs_dir: Path) -> None:
    run, view = crashed(runs_dir, PLAIN)
    view.last_event_at = psutil.boot_time() - 60
    found = diagnose(run, view)
    assert found is not None and found.code == "restarted" and "12" in found.text("what", "en")


def test_a_run_that_was_ended_because_it_did_not_stop(runs_dir: Path) -> None:
    run, view = crashed(runs_dir, CRASHES["sigterm"][1])
    (run.control_dir / "stop").touch()
    found = diagnose(run, view)
    assert found is not None and found.code == "ended_by_stop"
    run, view = crashed(runs_dir, CRASHES["disk"][1])
    (run.control_dir / "stop").touch()
    found = diagnose(run, view)
    assert found is not None and found.code == "disk_full", "it stopped to save, and could not"


def test_only_the_last_launch_is_looked_at(runs_dir: Path) -> None:
    run, view = crashed(runs_dir, CRASHES["cuda"][1])
    record = {"pid": 2**22 + 1, "create_time": 1.0, "console_bytes": run.console_path.stat().st_size}
    run.process_path.write_text(json.dumps(record), encoding="utf-8")
    with run.console_path.open("a", encoding="utf-8") as console:
        console.write(PLAIN)
    found = diagnose(run, view)
    assert found is not None and found.code == "killed" and "CUDA" not in tail(run)


def test_what_the_trainer_itself_reported(runs_dir: Path) -> None:
    found = failed(runs_dir, code="gpu_out_of_memory")
    assert found.code == "gpu_out_of_memory" and found.remedies
    found = failed(runs_dir, code="nan_loss", params={"step": 12})
    assert found.code == "nan_loss"
    found = failed(runs_dir, code="file_not_found", params={"value": "/data/猫"}, path="model.base_model")
    assert found.code == "user_error" and found.problem is not None
    assert "/data/猫" in found.problem.text("zh-CN") and found.problem.path == "model.base_model"
    found = failed(runs_dir, traceback=CRASHES["picture"][1])
    assert found.code == "corrupt_image"
    found = failed(runs_dir, traceback=CRASHES["unknown"][1])
    assert found.code == "unknown" and "division by zero" in found.evidence[-1]


def test_runs_that_did_not_fail_have_no_diagnosis(runs_dir: Path) -> None:
    run = make(runs_dir, "cat")
    assert diagnose(run, RunView()) is None
    run, view = crashed(runs_dir, "")
    EventWriter(run.events_path).emit("end", status="stopped", step=1, error=None)
    assert diagnose(run, view) is None


def test_a_console_of_any_bytes_is_shown(runs_dir: Path) -> None:
    run, view = crashed(runs_dir, "")
    run.console_path.write_bytes(
        b"\xff\xfe\x00" * 40_000 + "\rloss=1\rOSError: [Errno 28] 满了 No space left\n".encode()
    )
    found = diagnose(run, view)
    assert found is not None and found.code == "disk_full" and all(len(line) <= 400 for line in found.evidence)
    assert evidence("") == ()


@pytest.mark.skipif(os.name == "nt", reason="the fake trainer dies by POSIX signals")
@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("killed", "killed"),
        ("segfault", "native_crash"),
        ("out_of_memory", "out_of_memory"),
        ("disk_full", "disk_full"),
    ],
)
def test_real_deaths(runs_dir: Path, launch: SimpleNamespace, behaviour: str, code: str) -> None:
    run = make(runs_dir, behaviour)
    launch.quick(run)
    wait_until(lambda: status(run) not in LIVE)
    found = diagnose(run, fold(RunView(), events(run)))
    assert found is not None and found.code == code
