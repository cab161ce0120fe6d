"""Every word that a person can see exists in every language, with the same placeholders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCALES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "locales").glob("*.json")}
PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Parameters are named and explained in English where they are declared; other languages translate them.
OF_PARAMETERS = re.compile(r"^[a-z_]+\.[a-z0-9_]+\.(label|help)$")
NAMES = re.compile(r"\{\w+\}|TOML|TensorBoard|LoRA|alpha|Min-SNR|gamma|Beta|Epsilon|[Ll]oss|\W|\d")
CALLS = (
    (r"""\bt\(\s*["']([\w.+-]+)["']""", "{}"),
    (r"""\btranslate\(\s*["']([\w.+-]+)["']""", "{}"),
    (r"""\bself\.context\.t\(\s*["']([\w.+-]+)["']""", "{}"),
    (r"""\bUserError\(\s*["'](\w+)["']""", "problem.{}"),
    (r"""\bProblem\(\s*["'](?:error|warning)["'],\s*["'](\w+)["']""", "problem.{}"),
    (r"""\b_problem\(\s*["'](?:error|warning)["'],\s*["'](\w+)["']""", "problem.{}"),
    (r"""\b_finding\(\s*["']\w+["'],\s*["'](\w+)["']""", "doctor.{}"),
    (r"""\b_finding\(\s*view,\s*["']\w+["'],\s*["'](\w+)["']""", "problem.{}"),
    (r"""\bFix\(\s*["'](\w+)["']""", "fix.{}"),
    (r"""\bannounce\(\s*["']([\w.]+)["']""", "cli.{}"),
    (r"""\bsay\(\s*["'](\w+)["']""", "launch.{}"),
)


def sources() -> list[Path]:
    found = [ROOT / "launch.py", ROOT / "gui.py"]
    for folder in ("ui", "backend", "taggers"):
        found += [path for kind in ("*.py", "*.html") for path in (ROOT / folder).rglob(kind)]
    return found


def used_keys() -> dict[str, str]:
    """Return every key that stands in the code, with the place where it does."""
    keys = {}
    for path in sources():
        text = path.read_text(encoding="utf-8")
        for pattern, form in CALLS:
            for match in re.finditer(pattern, text):
                if path.suffix == ".html" and "~" in text[match.end() : match.end() + 3]:
                    continue  # the first part of a key that is put together
                keys[form.format(match[1])] = f"{path.relative_to(ROOT)}: {match[0]}"
    return keys


@pytest.mark.parametrize("language", LOCALES)
def test_every_key_in_the_code_has_a_text(language: str) -> None:
    missing = {
        key: place
        for key, place in used_keys().items()
        if key not in LOCALES[language] and not key.endswith(".") and "." in key
    }
    assert not missing


def test_all_languages_have_the_same_keys() -> None:
    english = {key for key in LOCALES["en"] if not OF_PARAMETERS.match(key)}
    for language, texts in LOCALES.items():
        assert {key for key in texts if not OF_PARAMETERS.match(key)} == english, language


@pytest.mark.parametrize("language", LOCALES)
def test_placeholders_are_the_same_in_every_language(language: str) -> None:
    different = [
        key
        for key, text in LOCALES[language].items()
        if key in LOCALES["en"] and set(PLACEHOLDER.findall(text)) != set(PLACEHOLDER.findall(LOCALES["en"][key]))
    ]
    assert not different


def test_chinese_is_chinese() -> None:
    """A text without a Chinese character was forgotten, unless it is made of names, numbers and signs."""
    names = re.compile(r"^(choice\.|preset\.|unit|units\.|language\.)|\.count$")
    forgotten = {
        key: text
        for key, text in LOCALES["zh-CN"].items()
        if not re.search(r"[\u4e00-\u9fff]", text) and len(NAMES.sub("", text)) > 3 and not names.match(key)
    }
    assert not forgotten
