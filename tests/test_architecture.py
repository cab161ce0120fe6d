"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("launch.py", "gui.py", "ui", "backend", "taggers", "presets")
TORCH_FREE = (
    "gui",
    "ui.app",
    "backend.cli",
    "backend.preflight",
    "backend.config.checks",
    "backend.families.specs",
    "backend.families.detect",
    "backend.data.scan",
    "backend.editing.matching",
    "backend.editing.operations",
    "backend.runs.supervisor",
    "backend.runs.queue",
    "backend.runs.diagnosis",
    "taggers.command",
    "taggers.launching",
)


def python_files() -> list[Path]:
    paths = [ROOT / name for name in SOURCES]
    return [path for root in paths for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=500)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_importing_it_loads_no_torch(module: str) -> None:
    done = run("-c", f"import sys, {module}; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_the_trainer_loads_no_gradio() -> None:
    done = run("-c", "import sys, backend.training.loop; assert 'gradio' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_imports_follow_the_arrows_of_the_house() -> None:
    done = run("-c", "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_launcher_needs_the_standard_library_only() -> None:
    ours = {"backend.config.messages", "backend.doctor"}
    for file in ("launch.py", *(name.replace(".", "/") + ".py" for name in ours)):
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign = [name for name in names if name.split(".")[0] not in sys.stdlib_module_names and name not in ours]
            assert not foreign, f"{file} imports {foreign}"


def test_ruff_finds_nothing() -> None:
    done = run("-m", "ruff", "check", ".")
    assert done.returncode == 0, done.stdout


def test_the_code_is_formatted() -> None:
    done = run("-m", "ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout


def test_types_hold() -> None:
    done = run("-m", "mypy")
    assert done.returncode == 0, done.stdout


def test_functions_and_files_stay_short() -> None:
    long = []
    for path in python_files():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 450:
            long.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 80:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines")
    assert not long


def test_no_family_is_named_in_a_condition_outside_its_module() -> None:
    named = re.compile(r"""^\s*(el)?if .*["'](sd15|sd2|sdxl)["']""")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files()
        if "families" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if named.match(line)
    ]
    assert not found
