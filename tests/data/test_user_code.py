"""Code of the user's runs only once confirmed, is told what is documented, and its errors name the line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig, PictureRules
from backend.config.problems import UserError
from backend.data.captions import all_captions, caption_rng, compose
from backend.data.datasets import Dataset
from backend.data.records import ImageRecord, Scan
from backend.data.user_code import UserCode, hash_of, is_trusted, open_all, open_code, trust

RICH = {"artist": "An artist", "characters": "hatsune miku, saber \\(fate\\)", "quality": "very good", "score": 6.5}
TAGGED = ImageRecord(
    2,
    "sub/a.b.png",
    "/pictures/sub/a.b.png",
    "",
    800,
    600,
    captions=("1girl, smile",),
    description="A girl.",
    metadata=RICH,
)
BARE = ImageRecord(2, "c.png", "/pictures/c.png", "", 64, 64, class_tokens="cat", metadata={"artist": "An artist"})


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))


def dataset(path: Path) -> Dataset:
    config = DatasetConfig(path="/pictures", code_path=str(path))
    return Dataset(2, config, PictureRules(), "data.datasets[0]")


def written(tmp_path: Path, source: str, *, trusted: bool = True) -> Path:
    path = tmp_path / "my code.py"
    path.write_text(source, encoding="utf-8")
    if trusted:
        trust(path)
    return path


def opened(tmp_path: Path, source: str) -> UserCode:
    code = open_code(dataset(written(tmp_path, source)), [TAGGED, BARE])
    assert code is not None
    return code


def problem_of(raised: pytest.ExceptionInfo[UserError]) -> tuple[str, str, dict[str, Any]]:
    problem = raised.value.problem
    return problem.code, problem.path, problem.params


def test_code_that_was_not_confirmed_is_not_executed(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = written(tmp_path, f"open({str(touched)!r}, 'w')\ndef caption(i, **k): return 'x'\n", trusted=False)
    with pytest.raises(UserError) as raised:
        open_code(dataset(path), [])
    expected = {"value": str(path), "sha256": hash_of(path)}
    assert problem_of(raised) == ("code_untrusted", "data.datasets[0].code_path", expected)
    assert str(path) in str(raised.value)
    assert hash_of(path) in str(raised.value)
    assert not touched.exists()


def test_confirmed_is_the_content_and_not_the_name(tmp_path: Path) -> None:
    path = written(tmp_path, "def caption(i, **k): return 'x'\n")
    copy = tmp_path / "copy.py"
    copy.write_bytes(path.read_bytes())
    assert is_trusted(copy)
    path.write_text("def caption(i, **k): return 'y'\n", encoding="utf-8")
    assert not is_trusted(path)
    with pytest.raises(UserError, match="confirm"):
        open_code(dataset(path), [])


def test_what_was_confirmed_before_stays_confirmed(tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    for path in (first, second):
        path.write_text(f"# {path.name}\n", encoding="utf-8")
        trust(path)
    assert is_trusted(first)
    assert is_trusted(second)


def test_a_broken_list_confirms_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "def caption(i, **k): return 'x'\n")
    listed = Path(os.environ["ATHANOR_HOME"]) / "trusted_code.json"
    assert json.loads(listed.read_text()) == {hash_of(path): str(path)}
    for content in ("{", "[]"):
        listed.write_text(content)
        assert not is_trusted(path)


def test_a_data_set_without_code_has_none() -> None:
    assert open_code(Dataset(0, DatasetConfig(path="/x"), PictureRules(), "data.datasets[0]"), []) is None


def test_repeats_are_told_key_metadata_and_counters(tmp_path: Path) -> None:
    code = opened(
        tmp_path,
        """
seen = []
def num_repeats(img_key, img_md, **kwargs):
    seen.append((img_key, img_md, {name: dict(counted) for name, counted in kwargs["counter"].items()}))
    return 0 if "score" not in img_md else 3
""",
    )
    assert (code.num_repeats(TAGGED), code.num_repeats(BARE)) == (3.0, 0.0)
    (key, metadata, counter), (other_key, *_) = code.functions["num_repeats"].__globals__["seen"]
    assert (key, other_key) == ("a.b", "c")
    assert metadata == {
        "image_path": "/pictures/sub/a.b.png",
        "caption": "1girl, smile",
        "description": "A girl.",
        **RICH,
    }
    assert counter == {
        "artist": {"An_artist": 2},
        "characters": {"hatsune_miku": 1, "saber_(fate)": 1},
        "styles": {},
        "quality": {"very good": 1},
    }
    assert code.caption(TAGGED, caption_rng(0, 0, "")) is None


def test_captions_are_told_the_documented_fields(tmp_path: Path) -> None:
    code = opened(
        tmp_path,
        """
def caption(img_info, **kwargs):
    sizes = (img_info.image_size, img_info.original_size, img_info.bucket_size, img_info.latent_size)
    return repr((img_info.key, img_info.metadata["artist"], img_info.caption, img_info.description, *sizes,
                 img_info.num_repeats, img_info.npz_path, kwargs["flip_aug"], kwargs["counter"]["artist"]["An_artist"]))
""",
    )
    text = code.caption(TAGGED, caption_rng(0, 0, ""), flip=True, bucket=(576, 448))
    sizes = "(800, 600), (800, 600), (576, 448), (72, 56)"
    assert text == f"('a.b', 'An artist', '1girl, smile', 'A girl.', {sizes}, 1.0, '', True, 2)"


def test_captions_of_code_go_through_all_other_steps_and_agree(tmp_path: Path) -> None:
    code = opened(
        tmp_path,
        """
def caption(img_info, *, rng, **kwargs):
    return rng.choice(["red", "blue"]) + ", " + img_info.caption
def description(img_info, **kwargs):
    return ""
""",
    )
    rules = PictureRules(trigger_word="t")
    draws = [compose(TAGGED, rules, caption_rng(1, 0, str(number)), epoch=0, code=code) for number in range(40)]
    assert set(draws) == {"t, red, 1girl, smile", "t, blue, 1girl, smile"}
    assert draws == [compose(TAGGED, rules, caption_rng(1, 0, str(number)), epoch=0, code=code) for number in range(40)]
    variants = PictureRules(trigger_word="t", caption_variants=8)
    assert set(all_captions(TAGGED, variants, seed=1, code=code)) == set(draws)


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("def caption(i, **k):\n    x = 1\n    return i.nothing\n", 3, "AttributeError"),
        ("def helper(i):\n    return 1 / 0\n\ndef caption(i, **k):\n    return helper(i)\n", 2, "ZeroDivisionError"),
        ("\ndef caption(i, **k):\n    return 3\n", 2, "3"),
        ("\n\ndef caption(i):\n    return ''\n", 3, "TypeError"),
        ("def caption(i, **k):\n    raise SystemExit('bye')\n", 2, "bye"),
    ],
)
def test_an_error_names_file_line_function_and_picture(tmp_path: Path, source: str, line: int, reason: str) -> None:
    code = opened(tmp_path, source)
    with pytest.raises(UserError) as raised:
        compose(TAGGED, PictureRules(), caption_rng(1, 0, ""), epoch=0, code=code)
    name, field, params = problem_of(raised)
    assert (name, field) == ("code_failed", "data.datasets[0].code_path")
    assert (params["line"], params["name"], params["picture"]) == (line, "caption", "sub/a.b.png")
    assert reason in params["reason"]
    assert str(code.path) in str(raised.value)


@pytest.mark.parametrize(
    ("source", "line"),
    [("x = 1\ndef caption(:\n", 2), ("import nothing_like_this\n", 1), ("\n\nraise ValueError()\n", 3)],
)
def test_a_file_that_cannot_be_run_names_its_line(tmp_path: Path, source: str, line: int) -> None:
    with pytest.raises(UserError) as raised:
        opened(tmp_path, source)
    name, _, params = problem_of(raised)
    assert (name, params["line"]) == ("code_failed", line)


@pytest.mark.parametrize("returned", ["'3'", "-1", "None", "float('nan')", "float('inf')"])
def test_repeats_must_be_a_number(tmp_path: Path, returned: str) -> None:
    code = opened(tmp_path, f"def num_repeats(key, md, **kwargs):\n    return {returned}\n")
    with pytest.raises(UserError, match="num_repeats"):
        code.num_repeats(TAGGED)


def test_a_file_without_the_functions_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="num_repeats, caption, description") as raised:
        opened(tmp_path, "x = 1\n")
    assert raised.value.problem.code == "code_empty"
    with pytest.raises(UserError) as raised:
        open_code(dataset(tmp_path / "missing.py"), [])
    assert problem_of(raised)[:2] == ("code_unreadable", "data.datasets[0].code_path")


def test_the_code_of_a_scan_counts_its_own_data_set(tmp_path: Path) -> None:
    path = written(tmp_path, "def caption(i, *, counter, **k):\n    return str(counter['artist'].total())\n")
    data = DataSection()
    plain = Dataset(0, DatasetConfig(path="/other"), data, "data.datasets[1]")
    other = ImageRecord(0, "x.png", "/x.png", "", 8, 8, metadata={"artist": "b"})
    codes = open_all(Scan((plain, dataset(path)), (other, TAGGED, BARE), ()))
    assert list(codes) == [2]
    assert codes[2].caption(TAGGED, caption_rng(0, 0, "")) == "2"
