"""What is found out about a draft: without blocking, and without looking again for what changes no picture."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from ui import quick_plan
from ui.app import make_app
from ui.background import Cancelled, Progress
from ui.context import Services
from ui.findings import Finder, Findings
from ui.wording import going_on

Draft = dict[str, Any]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures 图"
    (folder / "3_cat").mkdir(parents=True)
    for number in range(5):
        Image.new("RGB", (64, 96), (number * 50, 0, 0)).save(folder / "3_cat" / f"{number}.png")
    return folder


@pytest.fixture
def draft(pictures: Path) -> Draft:
    rows = [{"path": str(pictures), "num_repeats": 10}]
    return quick_plan.with_values(quick_plan.demo(), {"data.datasets": rows})


def settled(finder: Finder, data: Draft) -> Findings:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        findings = finder.find(data)
        if not isinstance(findings.waiting, Progress):
            return findings
        time.sleep(0.05)
    raise AssertionError("it never ends")


def with_row(data: Draft, **values: Any) -> Draft:
    return quick_plan.with_values(data, {"data.datasets": [{**data["data"]["datasets"][0], **values}]})


def test_settings_that_change_no_picture_do_not_look_again(home: Path, draft: Draft) -> None:
    finder = Finder(home / "runs")
    before = settled(finder, draft)
    assert [record.num_repeats for record in before.images] == [30.0] * 5
    after = settled(finder, with_row(draft, num_repeats=7, crop="corner", name="cats", keep_tokens=2))
    assert after.number == before.number, "the same scan"
    assert [record.num_repeats for record in after.images] == [21.0] * 5
    assert after.scan is not None and after.scan.datasets[0].rules.crop == "corner"
    assert after.plan is not None and after.plan.count.samples_per_epoch == 105


def test_what_is_recorded_of_pictures_is_found_named_and_mended(home: Path, draft: Draft, pictures: Path) -> None:
    folder = pictures / "3_cat"
    finder = Finder(home / "runs")
    settled(finder, draft)
    Image.new("L", (64, 96), 255).save(folder / "1-masklabel.png")
    (folder / "0.png.athanor.json").write_text("{", encoding="utf-8")
    (folder / "2.png.athanor.json").write_text('{"version": 1, "rotate": 90}', encoding="utf-8")
    findings = settled(finder, draft)
    assert [(image.width, image.height) for image in findings.images] == [(64, 96), (96, 64), (64, 96), (64, 96)]
    found = {each.problem.code: each for each in findings.findings}
    assert found["edits_unusable"].names == (f"{pictures.name}/3_cat/0.png",)
    assert found["edits_unusable"].fixes[0].changes == (("data.datasets[0].exclude", ["3_cat/0.png"]),)
    assert found["masks_unused"].fixes[0].changes == (("data.datasets[0].mask", "file"),)
    assert settled(finder, with_row(draft, mask="file")).number > findings.number


@pytest.mark.parametrize("values", [{"recursive": True}, {"class_tokens": "a dog"}, {"caption_extension": ".caption"}])
def test_settings_that_do_are_looked_at_again(home: Path, draft: Draft, values: Draft) -> None:
    finder = Finder(home / "runs")
    before = settled(finder, draft)
    assert settled(finder, with_row(draft, **values)).number > before.number


def test_new_files_are_noticed_and_changed_ones_when_asked_for(home: Path, draft: Draft, pictures: Path) -> None:
    finder = Finder(home / "runs")
    assert len(settled(finder, draft).images) == 5
    Image.new("RGB", (64, 64)).save(pictures / "3_cat" / "new.png")
    assert len(settled(finder, draft).images) == 6
    (pictures / "3_cat" / "0.txt").write_text("first", encoding="utf-8")
    settled(finder, draft)
    (pictures / "3_cat" / "0.txt").write_text("a longer second", encoding="utf-8")
    finder.look_again()
    assert settled(finder, draft).images[0].captions == ("a longer second",)


def test_looking_closely_adds_to_the_report(home: Path, draft: Draft, pictures: Path) -> None:
    first = pictures / "3_cat" / "0.png"
    (pictures / "3_cat" / "copy.png").write_bytes(first.read_bytes())
    finder = Finder(home / "runs")
    findings = settled(finder, draft)
    report = finder.report(findings, wait=60)
    assert report is not None and not isinstance(report, Progress | Cancelled) and report.num_looked == 0
    while isinstance(finder.look_closely(settled(finder, draft)), Progress):
        time.sleep(0.05)
    report = finder.report(settled(finder, draft), wait=60)
    assert report is not None and not isinstance(report, Progress | Cancelled) and report.num_looked == 6
    copies = [finding for finding in report.findings if finding.problem.code == "images_duplicated"]
    assert [name for finding in copies for name in finding.names], [each.problem.code for each in report.findings]


def test_a_cancelled_look_says_so_and_starts_anew(home: Path, draft: Draft, pictures: Path) -> None:
    for number in range(4000):
        (pictures / f"{number}.png").hardlink_to(pictures / "3_cat" / "0.png")
    finder = Finder(home / "runs", patience=0.0)
    findings = finder.find(draft)
    assert isinstance(findings.waiting, Progress) and findings.stage == "scan"
    assert "so far" in going_on(findings.waiting, "en") and finder.review(draft) is None
    finder.cancel()
    ended = settled(finder, draft)
    assert isinstance(ended.waiting, Cancelled) and not ended.images
    finder.look_again()
    assert len(settled(finder, draft).images) == 4005


def test_small_pictures_are_served_and_nothing_else(home: Path, draft: Draft) -> None:
    services = Services.create(home / "runs")
    client = TestClient(make_app(services))
    findings = settled(services.finder, draft)
    answer = client.get(f"/pictures/{findings.number}/2?size=112")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/webp"
    for address in (f"/pictures/{findings.number}/5", f"/pictures/{findings.number}/-1", "/pictures/99/0"):
        assert client.get(address).status_code == 404
    Path(findings.images[0].location).write_bytes(b"no longer a picture")
    assert client.get(f"/pictures/{findings.number}/0").status_code == 404


def test_small_pictures_are_behind_the_login(home: Path) -> None:
    client = TestClient(make_app(Services.create(home / "runs"), login=("a", "b")))
    assert client.get("/pictures/1/0").status_code == 401


def test_a_jpeg_is_turned_upright(home: Path, tmp_path: Path, draft: Draft) -> None:
    folder = tmp_path / "turned"
    folder.mkdir()
    image = Image.new("RGB", (400, 100))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(folder / "a.jpg", exif=exif)
    services = Services.create(home / "runs")
    findings = settled(services.finder, with_row(draft, path=str(folder)))
    assert findings.scan is not None
    content = services.thumbnails.get(findings.scan, findings.images[0], 112)
    with Image.open(io.BytesIO(content)) as small:
        assert small.height > small.width
