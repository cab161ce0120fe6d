"""Backgrounds are taken away by a run like any other: masks beside the pictures, in their own coordinates, undoable."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from runs.run_helpers import wait_until

from backend.config.problems import UserError
from backend.data.picture_edits import EDIT_SUFFIX, PictureEdit, edit_text
from backend.data.records import MASK_SUFFIX
from backend.editing.journal import Journal
from backend.runs.events import EventReader
from backend.runs.layout import RunFolder
from backend.runs.processes import processes, status
from backend.runs.queue import start_run
from backend.runs.view import RunView, fold
from taggers import background, files, kinds, masks, models
from taggers.config import TaggingConfig
from taggers.launching import new_run, read_preview
from taggers.releases import CHUNK_BYTES
from taggers.tagging import Listener, Task, tag

pytest.importorskip("rembg", reason="rembg is not installed")
pooch = pytest.importorskip("pooch")
sys.path.insert(0, str(Path(__file__).parent))
from hub import Hub, serving  # noqa: E402

SIDE = 320
EMPTY = (0, 0, 0)
SUBJECT = (255, 0, 0)


def remover(path: Path) -> Path:
    """Make a model of U2-Net's interface that sees the subject where a picture is red."""
    graph = helper.make_graph(
        [helper.make_node("Slice", ["input", "starts", "ends", "axes"], ["output"])],
        "remover",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [
            numpy_helper.from_array(np.array([value], np.int64), name)
            for name, value in (("starts", 0), ("ends", 1), ("axes", 1))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return remover(tmp_path / "models" / "mine.onnx")


def subject(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", size, EMPTY)
    image.paste(SUBJECT, box)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures with the subject at the top left, one of them in a folder below."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    subject((120, 80), (0, 0, 60, 40)).save(folder / "a.png")
    subject((64, 64), (0, 0, 32, 32)).save(folder / "more" / "b.jpg", quality=95)
    return folder


def mask_of(picture: Path) -> np.ndarray:
    with Image.open(picture.with_name(picture.stem + MASK_SUFFIX)) as mask:
        assert (mask.format, mask.mode) == ("PNG", "L")
        return np.asarray(mask)


def config_of(folder: Path, model: Path, **options: Any) -> TaggingConfig:
    return TaggingConfig(**{"folders": [str(folder)], "model": str(model), "device": "cpu", **options})


def work(folder: Path, model: Path, **options: Any) -> tuple[Task, list[str]]:
    """Make masks in this process; returns what became of the pictures, and the codes of what is wrong."""
    config, told = config_of(folder, model, **options), []
    found = kinds.get(config.model)
    task = Task(config, "Masks", kind=found.model.kind)
    tag(task, kinds.load(found, config), Listener(warn=lambda problem: told.append(problem.code)))
    return task, told


def test_a_run_makes_masks_that_are_undone_at_once(folder: Path, model: Path, tmp_path: Path) -> None:
    run = new_run(config_of(folder, model), tmp_path / "runs")
    start_run(run)
    wait_until(lambda: not processes(run))
    assert status(run) == "finished", run.console_path.read_text()
    view = fold(RunView(), EventReader(run.events_path).read())
    assert view.tagged == {"written": 2, "skipped": 0, "failed": 0}
    mask = mask_of(folder / "a.png")
    assert mask.shape == (80, 120)
    assert mask[5:30, 5:50].min() > 250
    assert mask[50:].max() < 5
    assert mask_of(folder / "more" / "b.jpg").shape == (64, 64)
    with Journal(folder) as journal:
        journal.undo()
        assert not (folder / f"a{MASK_SUFFIX}").exists()
        journal.redo()
    assert np.array_equal(mask_of(folder / "a.png"), mask)


def test_masks_that_are_there_are_left_alone_or_overwritten_and_come_back(folder: Path, model: Path) -> None:
    drawn = Image.new("L", (120, 80), 77)
    drawn.save(folder / f"a{MASK_SUFFIX}")
    task, _ = work(folder, model)
    assert (task.counts.written, task.counts.skipped) == (1, 1)
    assert set(np.unique(mask_of(folder / "a.png"))) == {77}
    task, _ = work(folder, model, on_existing="overwrite")
    assert task.counts.written == 2
    assert mask_of(folder / "a.png").max() == 255
    with Journal(folder) as journal:
        journal.undo()
    assert set(np.unique(mask_of(folder / "a.png"))) == {77}
    for joined in ("merge", "append", "prepend"):
        with pytest.raises(UserError, match="overwrite"):
            work(folder, model, on_existing=joined)


def test_masks_are_those_of_the_whole_picture_as_it_lies_in_its_file(folder: Path, model: Path) -> None:
    """The picture is turned and cut to a part without the subject: the model sees it turned and whole."""
    edit = PictureEdit(rotate=90, crop=(0, 60, 40, 60), size=(80, 120))
    (folder / f"a.png{EDIT_SUFFIX}").write_text(edit_text(edit) or "", encoding="utf-8")
    seen: list[tuple[int, int]] = []
    config = config_of(folder, model)
    tagger = kinds.load(kinds.get(str(model)), config)
    describe = tagger.describe
    tagger.describe = lambda images: (seen.extend(image.size for image in images), describe(images))[1]
    tag(Task(config, "Masks", kind="background"), tagger, Listener())
    assert seen == [(80, 120), (64, 64)]
    mask = mask_of(folder / "a.png")
    assert mask.shape == (80, 120)
    assert mask[5:30, 5:50].min() > 250 and mask[50:].max() < 5


def test_pictures_that_are_all_background_get_no_mask_and_are_told(folder: Path, model: Path) -> None:
    Image.new("RGB", (50, 50), (90, 90, 90)).save(folder / "empty.png")
    (folder / "broken.png").write_bytes(b"no picture")
    task, told = work(folder, model)
    assert sorted(told) == ["background_everywhere", "image_corrupt"]
    assert (task.counts.written, task.counts.failed) == (2, 2)
    assert not (folder / f"empty{MASK_SUFFIX}").exists()


def test_pictures_of_one_name_share_the_mask_of_the_first(folder: Path, model: Path) -> None:
    subject((64, 64), (0, 0, 64, 64)).save(folder / "a.webp")
    task, _ = work(folder, model, on_existing="overwrite")
    assert (task.counts.written, task.counts.skipped) == (2, 1)
    assert mask_of(folder / "a.png").shape == (80, 120)


def test_a_preview_writes_nothing(folder: Path, model: Path, tmp_path: Path) -> None:
    run = new_run(config_of(folder, model, dry_run=True), tmp_path / "runs")
    start_run(run)
    wait_until(lambda: not processes(run))
    assert status(run) == "finished", run.console_path.read_text()
    assert [(row["name"], row["before"]) for row in read_preview(run.path)] == [("a.png", ""), ("more/b.jpg", "")]
    assert all(row["after"].endswith("%") for row in read_preview(run.path))
    assert not list(folder.rglob(f"*{MASK_SUFFIX}"))


def test_a_run_that_goes_on_does_not_make_what_it_has_made(folder: Path, model: Path) -> None:
    work(folder, model, on_existing="overwrite")
    config = config_of(folder, model, on_existing="overwrite")
    with masks.Masks(config, "Masks") as output:
        assert Task(config, "Masks", is_resumed=True, kind="background").pictures(output) == []
        assert len(Task(config, "Masks", kind="background").pictures(output)) == 2


def test_hard_edges_are_black_or_white(folder: Path, model: Path) -> None:
    work(folder, model)
    assert len(np.unique(mask_of(folder / "more" / "b.jpg"))) > 2
    work(folder, model, on_existing="overwrite", mask_edge="hard")
    assert set(np.unique(mask_of(folder / "more" / "b.jpg"))) == {0, 255}


def test_models_of_the_list_are_found_where_they_are(home: Path, folder: Path, model: Path) -> None:
    """A file of the name in the models folder, or in that of rembg, is no longer downloaded."""
    row = models.MODELS["u2netp"]
    place = remover(files.models_dir() / "u2netp" / "u2netp.onnx")
    assert kinds.get("u2netp").path == place
    task, told = work(folder, place.parent)
    assert (task.kind, task.counts.written, told) == ("background", 2, [])
    assert kinds.get(str(place)).model == row


@pytest.mark.usefixtures("folder")
def test_rembgs_own_downloads_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "rembg"))
    place = remover(tmp_path / "rembg" / "silueta.onnx")
    assert kinds.get("silueta").path == place


def test_without_a_connection_it_says_where_the_file_goes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("U2NET_HOME", str(home / "nothing"))
    told: list[str] = []
    with pytest.raises(UserError) as raised:
        kinds.get("u2netp", lambda file, done, total: told.append(file))
    text = raised.value.problem.text()
    assert raised.value.problem.code == "background_offline"
    assert str(files.models_dir() / "u2netp") in text and "u2netp.onnx" in text
    assert told == ["u2netp.onnx"]


def test_a_download_that_breaks_off_goes_on_and_a_damaged_one_is_never_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("U2NET_HOME", str(home / "nothing"))
    source = home / "hub" / "u2netp.onnx"
    source.parent.mkdir(parents=True)
    source.write_bytes(np.random.default_rng(0).bytes(size := 300_000))
    digest = hashlib.md5(source.read_bytes(), usedforsecurity=False).hexdigest()
    place = files.models_dir() / "u2netp" / "u2netp.onnx"
    hub, usual, told = Hub(source.parent, "rembg/releases"), pooch.retrieve, []
    with serving(hub) as address:

        def from_here(_address: str, _hash: str, **options: Any) -> Any:
            return usual(address + hub.file("u2netp.onnx"), f"md5:{digest}", **options)

        monkeypatch.setattr("pooch.retrieve", from_here)
        hub.breaks_at = size // 2
        with pytest.raises(UserError) as raised:
            kinds.get("u2netp")
        assert raised.value.problem.code == "background_offline" and not place.exists()
        hub.breaks_at = 0
        assert kinds.get("u2netp", lambda *now: told.append(now)).path == place
        assert hub.asked[-1][2] == f"bytes={size // 2 // CHUNK_BYTES * CHUNK_BYTES}-" and told[-1] == (
            "u2netp.onnx",
            size,
            size,
        )
        assert place.read_bytes() == source.read_bytes()
        place.unlink()
        source.write_bytes(source.read_bytes()[::-1])
        with pytest.raises(UserError) as raised:
            kinds.get("u2netp")
        assert raised.value.problem.code == "tagger_hash_wrong"
    assert [path.name for path in place.parent.iterdir()] == [".u2netp.onnx.lock"]


def test_downloads_that_are_switched_off_are_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("U2NET_HOME", str(home / "nothing"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as raised:
        kinds.get("u2netp")
    assert raised.value.problem.code == "tagger_downloads_off"


def test_every_model_of_the_list_is_one_of_rembgs_that_works_here() -> None:
    from rembg.sessions import sessions_class

    known = {each.name(): each for each in sessions_class}
    for row in models.ROWS:
        if row.kind == "background":
            assert row.name in known
            assert known[row.name].is_local() and not known[row.name].requires_credentials()


def test_without_rembg_it_says_how_to_get_it(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for attempt in (
        lambda: new_run(config_of(folder, Path("u2net")), tmp_path / "runs"),
        lambda: kinds.get("u2net"),
        lambda: background.at(model),
    ):
        with pytest.raises(UserError) as raised:
            attempt()
        assert (raised.value.problem.code, raised.value.problem.path) == ("package_missing", "tagging.model")
        assert "add masks" in raised.value.problem.text()


def test_what_is_wrong_with_a_model_is_said(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(UserError) as raised:
        kinds.get(str(broken))
    assert raised.value.problem.code == "tagger_incomplete"
    place = files.models_dir() / "u2net" / "u2net.onnx"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"no model")
    with pytest.raises(UserError) as raised:
        work(folder, Path("u2net"))
    assert raised.value.problem.code == "tagger_damaged"
    with pytest.raises(UserError) as raised:
        new_run(config_of(folder, Path("u2net"), on_existing="merge"), tmp_path / "runs")
    assert raised.value.problem.path == "tagging.on_existing"


def test_the_run_folder_says_what_was_asked_for(folder: Path, model: Path, tmp_path: Path) -> None:
    run: RunFolder = new_run(config_of(folder, model, mask_edge="hard"), tmp_path / "runs")
    assert 'mask_edge = "hard"' in run.config_path.read_text(encoding="utf-8")
