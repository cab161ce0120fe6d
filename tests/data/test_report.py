"""The report counts as the trainer does, finds what is wrong with pictures and captions, and its fixes mend it."""

from __future__ import annotations

import json
import random
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.config.messages import languages
from backend.config.root import TrainConfig, parse
from backend.data.datasets import Dataset
from backend.data.index import Index, Looks
from backend.data.plan import Schedule, place
from backend.data.quality import Seen, look
from backend.data.records import ImageRecord, Scan
from backend.data.report import Finding, Fix, Report, apply_fix, make_report
from backend.data.scan import scan

SQUARE = {"width": 64, "height": 64, "min_bucket_resolution": 32, "max_bucket_resolution": 128, "bucket_step": 16}


def configured(datasets: list[dict[str, Any]], **sections: Any) -> tuple[dict[str, Any], TrainConfig]:
    data = {
        "model": sections.pop("model", {}),
        "training": {"batch_size": 2, "num_epochs": 3} | sections.pop("training", {}),
        "data": {**SQUARE, "datasets": datasets} | sections,
    }
    config, problems = parse(data)
    assert config is not None, problems
    return data, config


class Pictures:
    """Pictures in memory: records of a scan, without files."""

    def __init__(self, *datasets: dict[str, Any], **sections: Any) -> None:
        rows = [{"path": f"/pictures/{name}"} | row for name, row in zip("abc", datasets or ({},), strict=False)]
        self.data, self.config = configured(rows, **sections)
        self.records: list[ImageRecord] = []
        self.looks: list[Looks | None] = []
        self.contents: list[str] = []

    def add(
        self,
        name: str,
        *captions: str,
        size: tuple[int, int] = (64, 64),
        dataset: int = 0,
        looks: Looks | None = None,
        content: str = "",
        location: str = "",
        **more: Any,
    ) -> Pictures:
        where = location or f"{self.config.data.datasets[dataset].path}/{name}"
        self.records.append(ImageRecord(dataset, name, where, "s", *size, captions=captions, **more))
        self.looks.append(looks)
        self.contents.append(content)
        return self

    def scan(self) -> Scan:
        data = self.config.data
        sets = (Dataset(i, each, data.rules_of(each), f"data.datasets[{i}]") for i, each in enumerate(data.datasets))
        return Scan(tuple(sets), tuple(self.records), ())

    def report(self) -> Report:
        return told(make_report(self.config, self.scan(), seen=Seen(tuple(self.looks), tuple(self.contents))))

    def finding(self, code: str) -> Finding:
        found = [each for each in self.report().findings if each.problem.code == code]
        assert len(found) == 1, [each.problem.code for each in self.report().findings]
        return found[0]

    def codes(self) -> dict[str, str]:
        return {each.problem.code: each.problem.level for each in self.report().findings}

    def fixed(self, fix: Fix) -> TrainConfig:
        before = deepcopy(self.data)
        config, problems = parse(apply_fix(self.data, fix))
        assert config is not None, problems
        assert self.data == before, "a fix changes no data but its own"
        return config


def told(report: Report) -> Report:
    """Check that all that was found can be put into words."""
    for finding in report.findings:
        for language in languages():
            for text in (finding.problem.text(language), *(fix.text(language) for fix in finding.fixes)):
                assert "{" not in text
                assert not text.startswith(("problem.", "fix."))
    return report


# -- Numbers


def test_numbers_of_data_sets_and_of_all() -> None:
    pictures = Pictures({"num_repeats": 2}, {"role": "validation"})
    for number in range(5):
        pictures.add(f"{number}.png", "1girl, red hair", num_repeats=2.0)
    pictures.add("wide.png", "1girl, sky", size=(128, 32), num_repeats=2.0)
    pictures.add("v.png", "sky", size=(2000, 1000), dataset=1)
    report = pictures.report()
    first, second = report.datasets
    assert (first.title, first.role, first.field) == ("a", "train", "data.datasets[0]")
    assert (first.num_images, first.num_trained, first.num_validation, first.num_samples) == (6, 6, 0, 12)
    assert first.repeats == (2.0, 2.0)
    assert (second.num_images, second.num_trained, second.num_validation, second.num_samples) == (1, 0, 1, 0)
    assert (report.total.num_images, report.total.num_trained, report.total.num_samples) == (7, 6, 12)
    assert first.tags == (("1girl", 6), ("red hair", 5), ("sky", 1))
    assert dict(report.total.tags) == {"1girl": 6, "red hair": 5, "sky": 2}
    assert sum(first.megapixels.counts) == 6
    assert first.megapixels.counts[0] == 6
    # 2 megapixels count above the edge of 2, and 2:1 above that of 2.
    assert second.megapixels.counts[second.megapixels.edges.index(2.0) + 1] == 1
    assert second.aspects.counts[second.aspects.edges.index(2.0) + 1] == 1
    assert len(first.aspects.counts) == len(first.aspects.edges) + 1


@pytest.mark.parametrize("small_buckets", ["repeat", "short", "drop"])
def test_steps_and_buckets_are_those_of_the_trainer(small_buckets: str) -> None:
    pictures = Pictures({}, small_buckets=small_buckets, training={"batch_size": 3, "num_epochs": 4})
    for number in range(7):
        pictures.add(f"{number}.png", "a", num_repeats=1.5)
    for number in range(2):
        pictures.add(f"w{number}.png", "a", size=(96, 48))
    report = pictures.report()
    found, config = pictures.scan(), pictures.config
    schedule = Schedule(place(found).placements, found.datasets, config.data, batch_size=3, seed=config.training.seed)
    batches = [schedule.batches(epoch) for epoch in range(4)]
    assert report.count.epoch_steps == tuple(map(len, batches))
    rows = {row.size: row for row in report.total.buckets}
    assert set(rows) == {(64, 64), (80, 48)}
    for size, row in rows.items():
        ours = [batch for batch in batches[0] if schedule.placements[batch[0][0]].bucket == size]
        assert row.num_batches == len(ours)
        assert sum(map(len, ours)) == row.num_samples + row.num_repeated - row.num_dropped
    assert (rows[64, 64].num_images, rows[64, 64].num_samples) == (7, 10)
    assert rows[80, 48].examples == (7, 8)


def test_the_worst_crops_come_first_and_each_picture_once() -> None:
    pictures = Pictures({}, enable_bucket=False, resolutions=[32, 64])
    for number in range(15):
        pictures.add(f"{number}.png", "a", size=(100 + 10 * number, 100))
    crops = pictures.report().total.crops
    assert [crop.record for crop in crops] == list(range(14, 4, -1))
    # Of 240 x 100 a square keeps 100 / 240.
    assert crops[0].share == pytest.approx(1 - 100 / 240, abs=0.01)


def test_captions_are_counted() -> None:
    pictures = Pictures({"trigger_word": "zkz"})
    pictures.add("missing.png").add("empty.png", " ").add("long.png", "red, " * 60)
    pictures.add("same1.png", "zkz, cat").add("same2.png", "zkz, cat").add("described.png", description="A cat.")
    stats = pictures.report().total.captions
    assert (stats.num_missing, stats.num_empty, stats.num_long, stats.num_duplicated) == (1, 1, 1, 2)
    assert stats.num_without_trigger == 4
    assert (stats.limit, stats.most_tokens) == (75, 2 + 1 + 120)


# -- Findings


def test_missing_and_empty_captions_are_named_and_can_be_left_out() -> None:
    pictures = Pictures({"exclude": ["old.png"]}).add("a[1].png").add("b.png", "").add("c.png", "cat")
    finding = pictures.finding("captions_missing")
    assert (finding.problem.level, finding.problem.path) == ("warning", "data.datasets[0].path")
    assert (finding.names, finding.records) == (("a/a[1].png",), (0,))
    (fix,) = finding.fixes
    # A bracket would be a pattern.
    assert pictures.fixed(fix).data.datasets[0].exclude == ["old.png", "a[[]1].png"]
    assert pictures.finding("captions_empty").names == ("a/b.png",)


def test_a_caption_that_is_too_long_offers_to_read_more() -> None:
    pictures = Pictures().add("a.png", "cat " * 100).add("b.png", "cat")
    finding = pictures.finding("captions_long")
    assert (finding.names, finding.problem.params["most"], finding.problem.params["limit"]) == (("a/a.png",), 100, 75)
    (fix,) = finding.fixes
    assert pictures.fixed(fix).model.max_token_length == 150
    longest = Pictures(model={"max_token_length": 225}).add("a.png", "cat " * 300)
    assert longest.finding("captions_long").fixes == ()
    assert "captions_long" not in Pictures(model={"max_token_length": 150}).add("a.png", "cat " * 100).codes()


def test_weights_in_captions_are_not_counted_as_words() -> None:
    text = ", ".join(["(cat:1.3)"] * 30)
    assert "captions_long" in Pictures().add("a.png", text).codes()
    assert "captions_long" not in Pictures(weighted_captions=True).add("a.png", text).codes()


def test_a_caption_that_several_have() -> None:
    pictures = Pictures().add("a.png", "cat").add("b.png", "cat").add("c.png", "dog")
    finding = pictures.finding("captions_duplicated")
    assert (finding.problem.level, finding.records) == ("info", (0, 1))
    assert "captions_duplicated" not in Pictures().add("a.png", "cat").add("b.png", "cat").codes()


def test_a_trigger_word_that_some_captions_lack() -> None:
    pictures = Pictures()
    for number in range(8):
        pictures.add(f"{number}.png", f"zkz, tag{number}")
    pictures.add("lost.png", "tag").add("within.png", "tag, zkz")
    finding = pictures.finding("trigger_missing")
    assert finding.names == ("a/lost.png",)
    assert pictures.fixed(finding.fixes[0]).data.datasets[0].trigger_word == "zkz"


def test_class_pictures_with_the_trigger_word() -> None:
    pictures = Pictures({}, {"role": "regularization"}, trigger_word="zkz")
    pictures.add("a.png", "a cat").add("b.png", "cat", dataset=1)
    finding = pictures.finding("trigger_in_class")
    config = pictures.fixed(finding.fixes[0])
    assert config.data.rules_of(config.data.datasets[1]).trigger_word == ""
    assert config.data.rules_of(config.data.datasets[0]).trigger_word == "zkz"


def test_a_chance_of_a_tag_that_is_none() -> None:
    pictures = Pictures({"tag_dropout_weights": ["smile"]}, tag_dropout_rate=0.1).add("a.png", "smile")
    finding = pictures.finding("tag_weight")
    assert (finding.problem.level, finding.problem.path) == ("error", "data.datasets[0].tag_dropout_weights")


def test_pictures_that_rules_leave_out() -> None:
    pictures = Pictures({"minimum_size": 50}, maximum_aspect=1.5)
    pictures.add("a.png", "a").add("small.png", "a", size=(40, 40)).add("wide.png", "a", size=(160, 80))
    finding = pictures.finding("left_out_minimum_size")
    assert (finding.names, finding.problem.level) == (("a/small.png",), "info")
    assert pictures.fixed(finding.fixes[0]).data.datasets[0].minimum_size == 0
    finding = pictures.finding("left_out_maximum_aspect")
    assert finding.problem.path == "data.maximum_aspect"
    assert pictures.fixed(finding.fixes[0]).data.maximum_aspect == 0
    assert Pictures().add("a.png", "a").add("b.png", "a", num_repeats=0.0).finding("left_out_num_repeats").fixes == ()


def test_when_no_picture_is_left() -> None:
    pictures = Pictures(minimum_size=512).add("a.png", "a")
    assert pictures.codes() == {"nothing_left": "error", "left_out_minimum_size": "info"}
    assert pictures.report().count.total_steps == 0
    assert Pictures().report().findings == ()


def test_when_no_epoch_has_a_batch() -> None:
    late = Pictures({"start_epoch": 9}).add("a.png", "a").finding("no_steps").problem
    assert (late.level, late.params["value"]) == ("error", 3) and "3" in late.text()
    dropped = Pictures(small_buckets="drop").add("a.png", "a")
    assert dropped.codes()["no_steps"] == "error"
    assert "no_steps" not in Pictures({"start_epoch": 2}).add("a.png", "a").codes()


def test_enlarged_pictures() -> None:
    pictures = Pictures().add("a.png", "a", size=(30, 30)).add("b.png", "b", size=(33, 33))
    finding = pictures.finding("images_small")
    assert finding.names == ("a/a.png",)
    left_out, never = finding.fixes
    assert pictures.fixed(left_out).data.datasets[0].exclude == ["a.png"]
    assert pictures.fixed(never).data.bucket_no_upscale
    own = Pictures({"bucket_no_upscale": False}).add("a.png", "a", size=(30, 30))
    assert own.fixed(own.finding("images_small").fixes[1]).data.datasets[0].bucket_no_upscale


def test_pictures_of_which_much_is_cut_away() -> None:
    limits = {"min_bucket_resolution": 48, "max_bucket_resolution": 80}
    pictures = Pictures(**limits).add("panorama.png", "a", size=(400, 100)).add("b.png", "b", size=(80, 48))
    finding = pictures.finding("images_cropped")
    assert (finding.names, finding.problem.level) == (("a/panorama.png",), "warning")
    # From 80 x 48 to more: 24 and 160 allow 112 x 32.
    wider = pictures.fixed(finding.fixes[0])
    assert (wider.data.min_bucket_resolution, wider.data.max_bucket_resolution) == (24, 160)
    again = make_report(wider, Scan(scan_of(wider), tuple(pictures.records), ()))
    assert "images_cropped" not in {each.problem.code for each in again.findings}

    square = Pictures(enable_bucket=False).add("wide.png", "a", size=(200, 100))
    finding = square.finding("images_cropped")
    assert finding.problem.level == "info"
    assert square.fixed(finding.fixes[0]).data.enable_bucket


def scan_of(config: TrainConfig) -> tuple[Dataset, ...]:
    rows = config.data.datasets
    return tuple(Dataset(i, each, config.data.rules_of(each), f"data.datasets[{i}]") for i, each in enumerate(rows))


def test_batches_that_are_filled_and_batches_that_are_dropped() -> None:
    def pictures(**data: Any) -> Pictures:
        filled = Pictures(training={"batch_size": 4}, **data)
        for number in range(4):
            filled.add(f"{number}.png", "a")
        return filled.add("wide.png", "a", size=(96, 48))

    finding = pictures().finding("batches_filled")
    assert (finding.problem.level, finding.problem.params["samples"], finding.names) == ("info", 3, ("a/wide.png",))
    assert pictures().fixed(finding.fixes[0]).training.batch_size == 1
    dropping = pictures(small_buckets="drop")
    finding = dropping.finding("batches_dropped")
    assert (finding.problem.level, finding.problem.params["never"], finding.names) == ("warning", 1, ("a/wide.png",))
    repeat, smaller = finding.fixes
    assert dropping.fixed(repeat).data.small_buckets == "repeat"
    assert dropping.fixed(smaller).training.batch_size == 1
    assert not {"batches_filled", "batches_dropped"} & set(pictures(small_buckets="short").codes())


def test_a_data_set_that_drowns_another() -> None:
    pictures = Pictures({}, {"num_repeats": 2})
    for number in range(40):
        pictures.add(f"{number}.png", "a")
    pictures.add("b.png", "b", dataset=1, num_repeats=2.0)
    finding = pictures.finding("unbalanced")
    # 40 samples to 2: 20 times the 2 repeats that it has.
    assert pictures.fixed(finding.fixes[0]).data.datasets[1].num_repeats == 40
    balanced = Pictures({}, {}, mixing="equal")
    balanced.records, balanced.looks, balanced.contents = pictures.records, pictures.looks, pictures.contents
    assert "unbalanced" not in balanced.codes()


def test_class_pictures_that_are_not_used() -> None:
    pictures = Pictures({}, {"role": "regularization"}).add("a.png", "a").add("b.png", "b")
    for number in range(3):
        pictures.add(f"c{number}.png", "class", dataset=1)
    assert pictures.finding("class_unused").names == ("b/c2.png",)


def hashed(value: int, sharpness: float = 500.0) -> Looks:
    return Looks(f"{value:016x}", sharpness)


def test_copies_the_best_is_kept() -> None:
    pictures = Pictures({}, {"exclude": ["x"]})
    pictures.add("copy.png", looks=hashed(1), content="same")
    pictures.add("original.png", "a", looks=hashed(1), content="same")
    pictures.add("again.png", "b", looks=hashed(1), content="same", dataset=1)
    pictures.add("small.png", "c", looks=hashed(2**60 - 1), content="c")
    pictures.add("large.png", "c", size=(96, 96), looks=hashed(2**60 - 2), content="d", dataset=1)
    finding = pictures.finding("images_duplicated")
    assert finding.problem.level == "warning"
    assert finding.names == ("a/original.png", "b/again.png", "a/copy.png")
    config = pictures.fixed(finding.fixes[0])
    assert [row.exclude for row in config.data.datasets] == [["copy.png"], ["x", "again.png"]]
    alike = pictures.finding("images_alike")
    assert (alike.problem.level, alike.names) == ("info", ("b/large.png", "a/small.png"))
    assert pictures.fixed(alike.fixes[0]).data.datasets[0].exclude == ["small.png"]


def test_one_folder_in_two_data_sets_is_meant() -> None:
    pictures = Pictures({}, {})
    for dataset in (0, 1):
        pictures.add("a.png", "a", looks=hashed(1), content="same", location="/pictures/a.png", dataset=dataset)
    assert not {"images_duplicated", "images_alike"} & set(pictures.codes())


def test_pictures_that_are_also_in_the_validation() -> None:
    pictures = Pictures({}, {"role": "validation"})
    pictures.add("same.png", "a", content="x").add("other.png", "b", content="y").add("place.png", "c", location="/p")
    pictures.add("v.png", "a", content="x", dataset=1).add("place.png", "c", location="/p", dataset=1)
    finding = pictures.finding("in_validation")
    assert (finding.problem.level, finding.names) == ("warning", ("a/same.png", "a/place.png"))
    assert pictures.fixed(finding.fixes[0]).data.datasets[0].exclude == ["same.png", "place.png"]
    # Copies within the validation only are no duplicates of the training.
    assert "images_duplicated" not in pictures.codes()


def test_damaged_and_blurry_pictures() -> None:
    pictures = Pictures().add("a.png", "a", looks=Looks(error="image_truncated")).add("b.png", "b", looks=hashed(5, 3))
    pictures.add("c.png", "c", looks=hashed(2**50, 900))
    assert pictures.finding("images_damaged").names == ("a/a.png",)
    assert pictures.finding("images_damaged").problem.level == "warning"
    assert pictures.finding("images_blurry").names == ("a/b.png",)
    strict = Pictures(strict=True).add("a.png", "a", looks=Looks(error="image_truncated"))
    assert strict.finding("images_damaged").problem.level == "error"
    assert pictures.report().num_looked == 3


def test_errors_come_first() -> None:
    pictures = Pictures({"tag_dropout_weights": ["x"]}, tag_dropout_rate=0.1)
    pictures.add("a.png", "a", size=(40, 40)).add("b.png").add("c.png", "a").add("d.png", "c")
    levels = [finding.problem.level for finding in pictures.report().findings]
    assert levels == sorted(levels, key=("error", "warning", "info").index)
    assert set(levels) == {"error", "warning", "info"}


# -- Fixes, and files


def test_a_fix_reaches_into_data_that_is_sparse() -> None:
    data = {"data": {"datasets": [{"path": "a"}, {"path": "b"}]}}
    fix = Fix("x", {}, (("data.datasets[1].exclude", ["c"]), ("training.batch_size", 2), ("data.strict", False)))
    assert apply_fix(data, fix) == {
        "data": {"datasets": [{"path": "a"}, {"path": "b", "exclude": ["c"]}], "strict": False},
        "training": {"batch_size": 2},
    }
    assert data == {"data": {"datasets": [{"path": "a"}, {"path": "b"}]}}


def test_files_end_to_end_and_fixes_mend_what_was_found(tmp_path: Path) -> None:
    folder = tmp_path / "my 图片"
    folder.mkdir()
    rng = random.Random(0)
    for number in range(4):
        noise = Image.frombytes("RGB", (64, 64), rng.randbytes(64 * 64 * 3))
        noise.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"cat {number}", encoding="utf-8")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    noise.resize((20, 20)).save(folder / "tiny.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    data, config = configured([{"path": str(folder)}])
    with Index(tmp_path / "cache") as index:
        for round_number in range(8):
            found = scan(config.data, cache_dir=tmp_path / "cache")
            before = make_report(config, found, index=index)
            if not round_number:
                assert "images_duplicated" not in {finding.problem.code for finding in before.findings}
            look(found, index)
            report = told(make_report(config, found, index=index))
            codes = {finding.problem.code for finding in report.findings}
            if not round_number:
                assert {"images_unreadable", "captions_missing", "images_duplicated", "images_small"} <= codes
            fixes = [fix for finding in report.findings for fix in finding.fixes if fix.code.startswith("exclude")]
            if not fixes:
                break
            data = apply_fix(data, fixes[0])
            config, problems = parse(data)
            assert config is not None, problems
    assert set(config.data.datasets[0].exclude) == {"copy.png", "tiny.png", "broken.jpg"}
    assert found.problems == ()
    assert [record.name for record in found.images] == ["0.png", "1.png", "2.png", "3.png"]


def test_what_a_data_set_file_says_is_not_offered_to_be_changed(tmp_path: Path) -> None:
    for folder in ("mine", "class"):
        (tmp_path / folder).mkdir()
        Image.effect_noise((64, 64), 90).save(tmp_path / folder / f"{folder}.png")
        (tmp_path / folder / f"{folder}.caption").write_text(folder, encoding="utf-8")
    Image.effect_noise((20, 20), 90).save(tmp_path / "mine" / "tiny.png")
    (tmp_path / "mine" / "tiny.caption").write_text("", encoding="utf-8")
    subsets = [{"image_dir": str(tmp_path / "mine")}, {"image_dir": str(tmp_path / "class"), "is_reg": True}]
    general = {"resolution": 64, "enable_bucket": True, "bucket_no_upscale": False, "min_bucket_reso": 32}
    content = {"general": {**general, "max_bucket_reso": 128}, "datasets": [{"subsets": subsets}]}
    (tmp_path / "sets.json").write_text(json.dumps(content), encoding="utf-8")
    row = {"path": str(tmp_path / "sets.json"), "source": "sd_scripts"}
    data, config = configured([row], trigger_word="zkz")
    report = told(make_report(config, scan(config.data, cache_dir=tmp_path / "cache")))
    assert [row.role for row in report.datasets] == ["train", "regularization"]
    findings = {finding.problem.code: finding for finding in report.findings}
    assert findings["trigger_in_class"].fixes == ()
    assert [fix.code for fix in findings["images_small"].fixes] == ["exclude"]
    again, problems = parse(apply_fix(data, findings["images_small"].fixes[0]))
    assert again is not None, problems
    assert len(scan(again.data, cache_dir=tmp_path / "cache").images) == 2


def test_many_pictures_are_reported_in_seconds() -> None:
    rng = random.Random(0)
    words = [f"{rng.choice(['long', 'blue', 'red'])} {rng.choice(['hair', 'eyes', '(fate)'])}{i}" for i in range(3000)]
    pictures = Pictures()
    for number in range(20_000):
        size = (512 + rng.randrange(900), 500 + rng.randrange(900))
        pictures.add(f"{number}.png", ", ".join(rng.sample(words, 30)), size=size)
    found = pictures.scan()
    start = time.process_time()
    report = make_report(pictures.config, found)
    # A hundred thousand take five seconds; here it is a fifth of them, with room for a busy machine.
    assert time.process_time() - start < 6
    assert sum(row.num_images for row in report.total.buckets) == 20_000
