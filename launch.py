"""Make the environment that Athanor runs in, then run a command in it. Standard library only.

launch.py [gui|demo|test|doctor|install|add|tag|train|check|cache|schema] [--torch-index URL] [arguments of the command]
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

SUPPORTED = ((3, 11), (3, 13))
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "athanor.json"
LOCK = ROOT / ".venv-lock"
# The extras that the user added, one a line; beside the environment, which may have to be made anew.
EXTRAS = ROOT / ".venv-extras"
TORCH = "torch==2.13.0"
TORCH_INDEXES = "https://download.pytorch.org/whl/"
# (build, oldest NVIDIA driver, oldest compute capability): PyTorch's support matrix for 2.13; CUDA 13 dropped what is
# older than Turing and wants driver 580, CUDA 12.6 runs on any driver of the 12 series.
CUDA_BUILDS = (("cu130", 580, 7.5), ("cu126", 525, 5.0))
ROCM_BUILD = "rocm7.2"
BACKEND_COMMANDS = ("demo", "train", "check", "cache", "schema")
COMMANDS = ("gui", "install", "add", "test", "doctor", "tag", *BACKEND_COMMANDS)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


class LaunchError(Exception):
    """What went wrong, in the user's words already."""


def say(key: str, **params: object) -> str:
    """Return a text of the launcher in the user's language."""
    from backend.config.messages import system_language, translate  # standard library only, as this file is

    return translate(f"launch.{key}", system_language(), **params)


def check_python() -> None:
    """Refuse a Python that the pinned packages do not exist for. Readable by any Python 3.7."""
    if SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        return
    have = "{}.{}".format(*sys.version_info[:2])
    print(f"Athanor needs Python 3.11, 3.12 or 3.13; this one is {have} ({sys.executable}).")
    print("Install one from https://www.python.org/downloads/ and start again; it may stand beside the other.")
    print(f"Athanor 需要 Python 3.11、3.12 或 3.13，当前是 {have}。")
    print("请从 https://www.python.org/downloads/ 安装后重新启动，可以与现有版本并存。")
    raise SystemExit(1)


def venv_python(venv: Path = VENV) -> Path:
    """Return the interpreter inside a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def output_of(command: list[str], *, seconds: float = 20) -> str:
    """Return what a command prints, or nothing when it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


# ---- what to install


def project_file() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def known_extras() -> dict[str, list[str]]:
    """Return the packages of each extra that can be added."""
    return dict(project_file()["project"].get("optional-dependencies", {}))


def added_extras() -> list[str]:
    """Return the extras that the user added."""
    names = EXTRAS.read_text(encoding="utf-8").split() if EXTRAS.exists() else []
    return [name for name in names if name in known_extras()]


def add_extras(names: list[str]) -> None:
    """Note extras, which the next installation brings.

    Raises:
        LaunchError: None was named, or one that there is not.
    """
    known = known_extras()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise LaunchError(say("add_unknown", names=", ".join(unknown), known=", ".join(sorted(known))))
    EXTRAS.write_text("\n".join(sorted({*added_extras(), *names})), encoding="utf-8")


def requirements(*, tests: bool) -> list[str]:
    """Return what pyproject.toml names, with what was added, and with the test tools when asked for."""
    file, known = project_file(), known_extras()
    extras = [package for name in added_extras() for package in known[name]]
    return [*file["project"]["dependencies"], *extras, *(file["dependency-groups"]["test"] if tests else [])]


def pip_is_configured(config: str, environment: dict[str, str]) -> bool:
    """Tell whether the user gave pip an index, a mirror or a find-links of their own."""
    names = ("index-url", "extra-index-url", "find-links", "no-index")
    variables = {"PIP_" + name.upper().replace("-", "_") for name in names}
    lines = [line.partition("=")[0].rsplit(".", 1)[-1] for line in config.splitlines()]
    return any(name in lines for name in names) or any(environment.get(name) for name in variables)


def nvidia_build(table: str) -> str:
    """Choose the CUDA build from `nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader`.

    Returns:
        A build name; empty when the driver or every card is too old for any.
    """
    rows = re.findall(r"^\s*(\d+)[\d.]*\s*,\s*([\d.]+)\s*$", table, re.MULTILINE)
    for build, driver, capability in CUDA_BUILDS:
        if rows and all(int(row[0]) >= driver and float(row[1]) >= capability for row in rows):
            return build
    return ""


def torch_build() -> tuple[str, str]:
    """Return the torch build for this machine, and the key of the sentence that says why."""
    if sys.platform == "darwin":
        return "", "torch_apple"
    nvidia = output_of(["nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"])
    if nvidia.strip():
        build = nvidia_build(nvidia)
        return (build, "torch_nvidia") if build else ("cpu", "torch_old_driver")
    if sys.platform == "linux" and Path("/dev/kfd").exists():
        return ROCM_BUILD, "torch_amd"
    return "cpu", "torch_cpu"


def torch_arguments(torch_index: str, config: str, environment: dict[str, str]) -> tuple[list[str], str]:
    """Return pip's index arguments for torch, and the sentence that explains the choice."""
    if torch_index:
        return ["--extra-index-url", torch_index], say("torch_index", url=torch_index)
    if pip_is_configured(config, environment):
        return [], say("torch_user_pip")
    build, reason = torch_build()
    return (["--extra-index-url", TORCH_INDEXES + build] if build else []), say(reason, build=build)


def wanted_stamp(*, tests: bool, torch_index: str) -> dict[str, object]:
    """Describe the environment that is wanted: it is re-made or updated when this changes."""
    pins = (ROOT / "constraints.txt").read_bytes() + "\n".join(requirements(tests=False)).encode()
    group = "\n".join(requirements(tests=True)).encode() if tests else b""
    return {
        "state": "ready",
        "path": str(VENV),
        "python": list(sys.version_info[:2]),
        "pins": hashlib.sha256(pins).hexdigest(),
        "tests": hashlib.sha256(group).hexdigest() if tests else "",
        "torch_index": torch_index,
    }


def read_stamp() -> dict[str, object]:
    """Return the environment's own description; empty when there is none that can be read."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(stamp: dict[str, object]) -> None:
    """Write the description so that it is there whole or not at all."""
    fresh = STAMP.with_suffix(".new")
    fresh.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    fresh.replace(STAMP)


def satisfied(have: dict[str, object], want: dict[str, object]) -> bool:
    """Tell whether an environment will do: tests installed but not wanted are no reason to install again."""
    ignored = {"tests"} if not want["tests"] else set()
    ignored |= {"torch_index"} if not want["torch_index"] else set()
    return venv_python().exists() and all(have.get(key) == value for key, value in want.items() if key not in ignored)


# ---- installing


def locked(handle: IO[bytes]) -> bool:
    """Take the operating system's lock on an open file; it goes with the process, however that ends."""
    number = handle.fileno()
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def run_pip(arguments: list[str]) -> None:
    """Run pip in the environment with its progress shown; its last words are explained when it fails."""
    command = [str(venv_python()), "-m", "pip", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
    )
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        print("  " + line.rstrip()[:160], flush=True)
        lines = [*lines[-40:], line]
    if process.wait():
        raise LaunchError(explain_pip("".join(lines)))


def explain_pip(text: str) -> str:
    """Turn the end of pip's output into a plain sentence."""
    causes = (
        (r"No space left|Errno 28|not enough space", "pip_disk"),
        (r"ConnectionError|NewConnectionError|Temporary failure|timed out|ProxyError|SSLError", "pip_network"),
        (r"No matching distribution|Could not find a version|ResolutionImpossible|conflicting", "pip_missing"),
        (r"Permission denied|Access is denied|Errno 13|WinError 5", "pip_permission"),
    )
    for pattern, key in causes:
        if re.search(pattern, text, re.IGNORECASE):
            return say(key)
    return say("pip_failed")


def make_venv() -> None:
    """Create the virtual environment, removing what an interrupted attempt or a moved folder left."""
    if VENV.exists():
        print(say("venv_again"))
        shutil.rmtree(VENV)
    VENV.mkdir()
    write_stamp({"state": "building"})
    done = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise LaunchError(say("venv_failed", reason=(done.stdout + done.stderr).strip()[-500:]))


def usable_venv(have: dict[str, object], want: dict[str, object]) -> bool:
    """Tell whether the environment can be updated in place: complete once, here, and by this Python."""
    return (
        have.get("state") in ("ready", "updating")
        and all(have.get(key) == want[key] for key in ("path", "python"))
        and bool(output_of([str(venv_python()), "-c", "import pip; print(1)"]))
    )


def install_packages(want: dict[str, object], *, tests: bool, torch_index: str) -> None:
    """Bring the environment to the pinned versions; the stamp says "ready" only at the end."""
    have = read_stamp()
    if usable_venv(have, want):
        write_stamp({**have, "state": "updating"})
    else:
        make_venv()
    config = output_of([str(venv_python()), "-m", "pip", "config", "list"])
    index, reason = torch_arguments(torch_index, config, dict(os.environ))
    print(reason, flush=True)
    common = ["install", "--disable-pip-version-check", "--no-input", "-c", str(ROOT / "constraints.txt")]
    run_pip([*common, TORCH, *index])
    run_pip([*common, *requirements(tests=tests)])
    keep = {} if tests else {"tests": have.get("tests", "") if have.get("pins") == want["pins"] else ""}
    write_stamp({**want, **keep})


def install(*, tests: bool = False, torch_index: str = "") -> None:
    """Install what is missing; return at once when nothing changed.

    Raises:
        LaunchError: It cannot be done; the environment is then gone, or marked so that the next start repairs it.
    """
    want = wanted_stamp(tests=tests, torch_index=torch_index)
    if satisfied(read_stamp(), want):
        return
    try:
        handle = LOCK.open("a+b")
    except OSError as error:
        raise LaunchError(say("not_writable", path=ROOT, reason=error.strerror)) from error
    with handle:
        if not locked(handle):
            raise LaunchError(say("already_installing"))
        print(say("installing"), flush=True)
        try:
            install_packages(want, tests=tests, torch_index=torch_index)
        except BaseException:
            if read_stamp().get("state") == "building":
                shutil.rmtree(VENV, ignore_errors=True)
            raise
        print(say("installed"), flush=True)


# ---- the browser of the tests


def browser_path() -> str:
    """Return a Chromium-like browser of the system; empty when there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), "")


def install_browser() -> None:
    """Install Chromium for the tests: the distribution's where it can be, else playwright's own."""
    if browser_path():
        return
    print(say("browser"), flush=True)
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (
            ["update", "-q"],
            ["install", "-qy", "--no-install-recommends", "chromium", "fonts-noto-cjk"],
        ):
            subprocess.run(["apt-get", *arguments], env=environment, stdout=subprocess.DEVNULL, check=False)
    if not browser_path() and subprocess.call([str(venv_python()), "-m", "playwright", "install", "chromium"]):
        raise LaunchError(say("browser_failed"))


# ---- the commands


def run(arguments: list[str]) -> int:
    """Run a Python command line in the environment; Ctrl+C goes to it, and we wait for its end."""
    environment = {**os.environ, "PYTHONUTF8": "1"}
    process = subprocess.Popen([str(venv_python()), *arguments], cwd=ROOT, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def run_tests(arguments: list[str]) -> int:
    """Run all tests, or those that are named."""
    workers = [] if any(argument.startswith("-n") for argument in arguments) else ["-n", "2", "--dist", "loadfile"]
    return run(["-m", "pytest", *workers, *arguments])


def take_option(arguments: list[str], name: str) -> tuple[str, list[str]]:
    """Take `--name VALUE` or `--name=VALUE` out of the arguments."""
    for index, argument in enumerate(arguments):
        if argument.startswith(name + "="):
            return argument.partition("=")[2], arguments[:index] + arguments[index + 1 :]
        if argument == name and index + 1 < len(arguments):
            return arguments[index + 1], arguments[:index] + arguments[index + 2 :]
    return "", arguments


def dispatch(command: str, arguments: list[str], torch_index: str) -> int:
    """Run one command of the launcher."""
    if command == "doctor":
        from backend.doctor import examine

        return examine(ROOT, venv_python(), browser_path())
    if command == "add":
        add_extras(arguments)
    install(tests=command == "test", torch_index=torch_index)
    if command in ("install", "add"):
        return 0
    if command == "test":
        install_browser()
        return run_tests(arguments)
    if command == "tag":
        return run(["-m", "taggers", *arguments])
    if command in BACKEND_COMMANDS:
        return run(["-m", "backend", command, *arguments])
    return run(["gui.py", *arguments])


def main(argv: list[str]) -> int:
    """Run the launcher."""
    check_python()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    torch_index, arguments = take_option(argv, "--torch-index")
    command = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "gui"
    if command not in COMMANDS or arguments[:1] in (["-h"], ["--help"]) and command in ("install", "doctor"):
        print(say("usage", command=command, commands=" ".join(COMMANDS)))
        return 2
    try:
        return dispatch(command, arguments, torch_index)
    except LaunchError as error:
        print(f"\n{error}\n{say('doctor_hint')}", file=sys.stderr)
    except OSError as error:
        print(f"\n{say('not_writable', path=error.filename or ROOT, reason=error.strerror)}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"\n{say('interrupted')}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # A double click gives no arguments: keep its window open on an error. start.bat does it by itself.
    if code and len(sys.argv) == 1 and os.name != "nt" and sys.stdin is not None and sys.stdin.isatty():
        input("[Enter] ")
    raise SystemExit(code)
