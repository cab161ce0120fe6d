"""What a run comes to and what speaks against it, known before a launch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from backend import preflight
from backend.config import paths, presets
from backend.config.messages import languages
from backend.config.root import TrainConfig, parse
from backend.data import quality
from backend.data.index import Index
from backend.data.scan import Scan, scan
from backend.estimates import GIB, estimate_memory, num_saves
from backend.families import specs
from backend.families.sizes import parameter_counts, released
from backend.runs.events import EventWriter
from backend.runs.layout import create_run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        size = (64, 64) if number < 4 else (96, 48)
        Image.new("RGB", size, "red").save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("red", encoding="utf-8")
    return folder


def configured(folder: Path, base_model: str | Path, **sections: dict[str, Any]) -> TrainConfig:
    data = {
        "model": {"base_model": str(base_model)},
        "data": {
            "datasets": [{"path": str(folder), "num_repeats": 4}],
            "width": 64,
            "height": 64,
            "min_bucket_resolution": 32,
            "max_bucket_resolution": 128,
            "bucket_step": 16,
        },
        "training": {"num_epochs": 3, "batch_size": 3},
        "sampling": {"prompts": [{"prompt": "red"}]},
    }
    for name, values in sections.items():
        data[name] = {**data.get(name, {}), **values}
    config, problems = parse(data)
    assert config is not None, problems
    return config


def codes(problems: list) -> dict[str, str]:
    for problem in problems:
        for language in languages():
            assert "{" not in problem.text(language), problem
            assert not problem.text(language).startswith("problem.")
    return {problem.code: problem.level for problem in problems}


def test_a_plan_counts_steps_and_buckets(pictures: Path, tiny_folder: Callable[[str], Path]) -> None:
    config = configured(pictures, tiny_folder("sd15"))
    planned, problems = preflight.preflight(config)
    assert problems == []
    assert planned is not None
    # 4 x 4 samples in threes are 6 batches, 2 x 4 in threes are 3.
    assert (planned.count.samples_per_epoch, planned.count.steps_per_epoch, planned.count.total_steps) == (24, 9, 27)
    assert planned.buckets == {(64, 64): 4, (80, 48): 2}
    assert planned.seconds is None


class Wording(NamedTuple):
    sections: dict[str, dict[str, Any]]
    text: str


@pytest.mark.parametrize(
    "case",
    [
        Wording({"data": {"enable_bucket": False}}, "6 images x 4 repeats x 3 epochs / batch 3 = 24 steps"),
        Wording({}, "6 images, 24 an epoch with repeats; in batches of 3: 9 steps an epoch x 3 epochs = 27 steps"),
        Wording({"training": {"max_steps": 5}}, "training ends at 5 steps"),
        Wording(
            {"data": {"enable_bucket": False}, "training": {"gradient_accumulation_steps": 2}},
            "6 images x 4 repeats x 3 epochs / batch 6 = 12 steps",
        ),
    ],
    ids=["exact", "rounded", "capped", "accumulated"],
)
def test_the_plan_in_words_is_true(pictures: Path, tiny_folder: Callable[[str], Path], case: Wording) -> None:
    sections = dict(case.sections)
    sections["training"] = {"num_epochs": 3, "batch_size": 3, **sections.get("training", {})}
    config = configured(pictures, tiny_folder("sd15"), **sections)
    found = scan(config.data)
    planned = preflight.plan(config, found)
    assert case.text in preflight.sentence(config, planned, found, "en")


@pytest.mark.parametrize("family", specs.FAMILIES)
def test_parameters_are_counted_in_the_files(family: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    import tiny

    spec = specs.get(family)
    counts = parameter_counts(tiny_folder(family), spec)
    pipeline = tiny.PIPELINES[family]()
    for name in counts:
        module = pipeline.components["unet" if name == "denoiser" else name]
        assert counts[name] == sum(parameter.numel() for parameter in module.parameters()), name
    assert parameter_counts(tmp_path / "author" / "name", spec) == released(spec)


def test_saves_and_caches_are_counted_by_data_set(pictures: Path, tmp_path: Path) -> None:
    def planned(output: dict[str, Any] | None = None, **rules: Any) -> preflight.Plan:
        rows = [{"path": str(pictures)}, {"path": str(pictures), "start_epoch": 3, **rules}]
        saved = {"save_every_n_epochs": 1, **(output or {})}
        cache = {"latents": "disk", "text_embeddings": "disk"}
        config = configured(pictures, "author/model", data={"datasets": rows}, output=saved, cache=cache)
        return preflight.plan(config, scan(config.data), runs_dir=tmp_path)

    plain = planned()
    assert plain.count.epoch_steps == (3, 3, 5)  # four pictures of one shape, two of another; batches of 3
    assert num_saves(configured(pictures, "a/b", output={"save_every_n_epochs": 1}), plain.count) == 4
    assert planned(flip_augmentation=True).disk.caches > plain.disk.caches
    assert planned(caption_variants=5, shuffle_caption=True).disk.caches > plain.disk.caches
    assert planned(resolutions=[64, 96]).count.num_images == plain.count.num_images == 12


def test_memory_grows_and_shrinks_with_what_costs_it(pictures: Path) -> None:
    from backend.data.plan import place

    def total(**sections: dict[str, Any]) -> float:
        config = configured(pictures, "author/model", **sections)
        return estimate_memory(config, place(scan(config.data)).placements).total

    lora = total()
    assert total(training={"batch_size": 6}) > lora
    assert total(data={"datasets": [{"path": str(pictures), "batch_size": 6}]}) > lora
    assert total(data={"datasets": [{"path": str(pictures), "batch_size": 6, "enabled": False}]}) < lora
    assert total(training={"mixed_precision": "bf16"}) < lora
    assert total(training={"gradient_checkpointing": True}) < lora
    assert total(cache={"text_embeddings": "disk"}) < lora
    assert total(cache={"latents": "disk"}, sampling={"prompts": []}) < lora
    full = {"kind": "full"}
    assert total(adapter=full) > 2 * lora
    kinds = ["prodigy", "adamw", "lion", "adamw8bit", "adafactor"]
    sizes = [total(adapter=full, optimizer={"kind": kind}) for kind in kinds]
    assert sizes == sorted(sizes, reverse=True)


def test_known_cards_are_judged_as_people_know_them(tmp_path: Path) -> None:
    """A LoRA of SD 1.5 runs on 8 GB and one of SDXL on 16 GB with checkpointing; SDXL in full does not fit 24 GB."""
    folder = tmp_path / "large"
    folder.mkdir()
    Image.new("RGB", (1024, 1024)).save(folder / "a.png")

    def total(family: str, **sections: dict[str, Any]) -> float:
        spec = specs.get(family)
        data = {"width": spec.resolution, "height": spec.resolution, "max_bucket_resolution": 2048, "bucket_step": 64}
        model = {"base_model": "a/b", "family": family}
        training = {"mixed_precision": "bf16", "gradient_checkpointing": True, "batch_size": 1}
        config = configured(
            folder,
            "a/b",
            **{"data": {**data, "enable_bucket": False}, "model": model, "training": training, **sections},
        )
        return preflight.plan(config, scan(config.data)).memory.total / GIB

    assert 3 < total("sd15") < 8
    assert 7 < total("sdxl") < 16
    assert total("sdxl", adapter={"kind": "full"}) > 24


def test_what_cannot_fit_is_refused_and_what_may_is_a_warning(
    pictures: Path, tiny_folder: Callable[[str], Path]
) -> None:
    config = configured(pictures, tiny_folder("sd15"))
    planned, _ = preflight.preflight(config)
    assert planned is not None
    need = planned.memory.total

    def judged(memory_bytes: float) -> dict[str, str]:
        return codes(preflight.preflight(config, memory_bytes=int(memory_bytes))[1])

    assert judged(need / 2) == {"memory_too_small": "error"}
    assert judged(need) == {"memory_tight": "warning"}
    assert judged(need * 2) == {}
    config = configured(pictures, tiny_folder("sd15"), hardware={"device": "cpu", "num_processes": 4})
    assert judged(need * 2) == {"memory_too_small": "error"}


def test_a_folder_that_cannot_be_written_and_a_disk_that_is_too_small(
    pictures: Path, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    config = configured(pictures, tiny_folder("sd15"))
    _, problems = preflight.preflight(config, runs_dir=tmp_path / "file" / "runs")
    assert codes(problems)["folder_unwritable"] == "error"
    assert str(tmp_path / "file" / "runs") in problems[0].text()
    huge = configured(pictures, "a/b", adapter={"kind": "full"}, output={"keep_last_n_checkpoints": 100_000_000})
    _, problems = preflight.preflight(huge)
    assert codes(problems)["disk_small"] == "error"


def test_nothing_is_written_by_looking(pictures: Path, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    before = sorted(pictures.rglob("*"))
    preflight.preflight(configured(pictures, tiny_folder("sd15")))
    assert sorted(pictures.rglob("*")) == before
    assert {path.name.split("-")[0] for path in paths.cache_dir().iterdir()} == {"index.sqlite"}


def test_every_kind_of_problem_comes_together(pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad.png").write_bytes(b"")
    config = configured(pictures, tmp_path / "no model", data={"crop": "random", "width": 63})
    planned, problems = preflight.preflight(config)
    found = codes(problems)
    assert planned is None, "a size that does not work cannot be planned"
    assert {"size_not_multiple", "latents_random_crop", "base_model_missing", "images_unreadable"} <= found.keys()
    levels = [problem.level for problem in problems]
    assert levels == sorted(levels, key=lambda level: level != "error")


def test_an_unknown_family_is_a_problem_and_no_crash(pictures: Path) -> None:
    planned, problems = preflight.preflight(configured(pictures, "a/b", model={"family": "sd99", "base_model": "a/b"}))
    assert planned is None
    assert codes(problems) == {"family_unknown": "error"}


def test_no_picture_no_plan(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    planned, problems = preflight.preflight(configured(tmp_path / "nowhere", tiny_folder("sd15")))
    assert planned is None
    assert codes(problems) == {"dataset_missing": "error"}
    assert preflight.preflight(configured(tmp_path, tiny_folder("sd15")), Scan((), (), ()))[0] is None


def test_pictures_that_are_much_enlarged_are_told(pictures: Path, tiny_folder: Callable[[str], Path]) -> None:
    Image.new("RGB", (20, 20)).save(pictures / "tiny.png")
    (pictures / "tiny.txt").write_text("red", encoding="utf-8")
    _, problems = preflight.preflight(configured(pictures, tiny_folder("sd15")))
    assert codes(problems) == {"images_small": "warning"}
    assert problems[0].params["names"] == "tiny.png"


def test_time_is_told_by_the_last_run_like_this_one(
    pictures: Path, tiny_folder: Callable[[str], Path], home: Path
) -> None:
    config = configured(pictures, tiny_folder("sd15"))
    runs = paths.runs_dir()

    def earlier(config: TrainConfig, seconds: float, *, damaged: bool = False) -> None:
        run = create_run(runs, "earlier", presets.to_toml(presets.plain(paths.absolute(config))))
        writer = EventWriter(run.events_path)
        for step in range(1, 6):
            writer.emit("step", step=step, total=5, step_seconds=seconds if step > 1 else 60.0)
        writer.close()
        if damaged:
            run.config_path.write_text("[[", encoding="utf-8")

    assert preflight.measured_seconds_per_step(config, runs) is None
    earlier(config, 0.5)
    earlier(configured(pictures, "a/other"), 9.0)
    earlier(config, 7.0, damaged=True)
    assert preflight.measured_seconds_per_step(config, runs) == pytest.approx(0.5)
    twice = configured(pictures, tiny_folder("sd15"), training={"batch_size": 6})
    assert preflight.measured_seconds_per_step(twice, runs) == pytest.approx(1.0)
    planned, _ = preflight.preflight(config, seconds_per_step=0.5)
    assert planned is not None
    assert planned.seconds == pytest.approx(0.5 * 27)


def test_relative_paths_are_understood_from_here(
    pictures: Path, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures.parent)
    model = Path(os.path.relpath(tiny_folder("sd15")))
    planned, problems = preflight.preflight(configured(Path("pictures"), model))
    assert planned is not None
    assert problems == []


def test_it_is_an_error_when_no_picture_is_left(pictures: Path, tiny_folder: Callable[[str], Path]) -> None:
    config = configured(pictures, tiny_folder("sd15"), data={"minimum_size": 4000})
    planned, problems = preflight.preflight(config)
    assert planned is None
    assert ("error", "nothing_left") in [(problem.level, problem.code) for problem in problems]


def test_findings_about_pictures_are_told_once(pictures: Path, tiny_folder: Callable[[str], Path]) -> None:
    (pictures / "0.txt").unlink()
    (pictures / "1.txt").write_text("", encoding="utf-8")
    (pictures / "2.txt").write_text("cat " * 90, encoding="utf-8")
    Image.new("RGB", (20, 20), "blue").save(pictures / "small.png")
    (pictures / "small.txt").write_text("small", encoding="utf-8")
    examined = preflight.examine(configured(pictures, tiny_folder("sd15")))
    found = [problem.code for problem in examined.problems]
    assert sorted(found) == ["captions_empty", "captions_long", "captions_missing", "images_small"]
    assert examined.plan is not None
    names = {finding.problem.code: finding.names for finding in examined.findings}
    assert names["captions_missing"] == ("pictures/0.png",)
    assert names["captions_empty"] == ("pictures/1.png",)
    # What is only worth knowing speaks against nothing.
    assert "batches_filled" in names
    assert codes(examined.problems).keys().isdisjoint({"batches_filled", "captions_duplicated"})


def test_only_what_was_seen_before_is_told_of_pixels(pictures: Path, tiny_folder: Callable[[str], Path]) -> None:
    config = configured(pictures, tiny_folder("sd15"))
    noise = Image.effect_noise((64, 64), 90)
    for name in ("0.png", "1.png"):
        noise.save(pictures / name)
    found = scan(config.data)
    assert codes(preflight.preflight(config, found)[1]) == {}
    with Index(paths.cache_dir()) as index:
        quality.look(found, index)
    assert codes(preflight.preflight(config, found)[1])["images_duplicated"] == "warning"


def test_a_broken_vocabulary_is_told(pictures: Path, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "model" / "tokenizer").mkdir(parents=True)
    for path in tiny_folder("sd15").iterdir():
        if path.name != "tokenizer":
            (tmp_path / "model" / path.name).symlink_to(path)
    (tmp_path / "model" / "tokenizer" / "tokenizer.json").write_text("{")
    planned, problems = preflight.preflight(configured(pictures, tmp_path / "model"))
    assert planned is None
    assert "tokenizer_unreadable" in codes(problems)
