"""Where models come from: paths, the models folder, and a hub (of our own, over real HTTP)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny_taggers

from backend.config.problems import UserError
from taggers import files
from taggers.files import get

sys.path.insert(0, str(Path(__file__).parent))
from hub import Hub, serving  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
FETCH = """
import json, sys
from backend.config.problems import UserError
from taggers.files import get
told = []
try:
    found = get(sys.argv[1], lambda *state: told.append(state))
    print(json.dumps({"path": str(found.path), "tags": str(found.tags), "layout": found.model.layout, "told": told}))
except UserError as error:
    print(json.dumps({"code": error.problem.code, "text": str(error)}))
"""


def fetch(endpoint: str, name: str, home: Path, **variables: str) -> dict:
    """Get a model in a process that is online, as the hub's library reads its settings when it is imported."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(home / "hf"),
        **variables,
    }
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_ETAG_TIMEOUT": "2"}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, name], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_folder_or_a_file_is_a_model(model: Path) -> None:
    assert get(str(model)).path == model / "model.onnx"
    found = get(str(model / "model.onnx"))
    assert found.tags == model / "selected_tags.csv" and found.model.layout == "wd"


@pytest.mark.parametrize("name", ["selected_tags.csv", "model.safetensors"])
def test_another_file_than_a_model_is_told(model: Path, name: str) -> None:
    (model / name).touch()
    with pytest.raises(UserError) as caught:
        get(str(model / name))
    assert caught.value.problem.code == "tagger_file" and caught.value.problem.path == "tagging.model"


def test_the_layout_is_told_by_the_list(tmp_path: Path) -> None:
    assert get(str(tiny_taggers.cl(tmp_path / "m"))).model.layout == "cl"


def test_a_list_may_be_named_like_the_model(model: Path) -> None:
    (model / "model.onnx").rename(model / "mine.onnx")
    (model / "selected_tags.csv").rename(model / "mine_selected_tags.csv")
    assert get(str(model)).tags == model / "mine_selected_tags.csv"


def test_models_of_the_list_are_found_in_the_models_folder(home: Path) -> None:
    folder = tiny_taggers.wd(home / "models" / "taggers" / "wd-vit-tagger-v3")
    assert get("wd-vit-tagger-v3").path == folder / "model.onnx"
    assert get("SmilingWolf/wd-vit-tagger-v3").path == folder / "model.onnx"
    nested = tiny_taggers.cl(home / "models" / "taggers" / "cl_tagger" / "cl_tagger_1_01")
    assert get("cl_tagger_1_01").path == nested / "model.onnx"
    assert get("cl_tagger_1_01").model.layout == "cl"


def test_any_folder_of_the_models_folder_is_a_name(home: Path) -> None:
    folder = tiny_taggers.wd(home / "models" / "taggers" / "mine")
    assert get("mine").path == folder / "model.onnx"


def test_what_is_missing_is_told(model: Path, tmp_path: Path) -> None:
    (model / "selected_tags.csv").unlink()
    (tmp_path / "empty").mkdir()
    for name, code in (
        (model, "tagger_incomplete"),
        (tmp_path / "empty", "tagger_incomplete"),
        ("nothing", "tagger_unknown"),
    ):
        with pytest.raises(UserError) as caught:
            get(str(name))
        assert caught.value.problem.code == code
        assert caught.value.problem.path == "tagging.model"


def test_a_model_is_downloaded_once_with_its_progress(tmp_path: Path, home: Path) -> None:
    hub = Hub(tiny_taggers.wd(tmp_path / "there"), "SmilingWolf/wd-vit-tagger-v3")
    with serving(hub) as address:
        found = fetch(address, "wd-vit-tagger-v3", home)
        size = (tmp_path / "there" / "model.onnx").stat().st_size
        assert found["path"] == str(home / "models" / "taggers" / "wd-vit-tagger-v3" / "model.onnx")
        assert ["model.onnx", size, size] in found["told"]
        number = len(hub.asked)
        assert fetch(address, "wd-vit-tagger-v3", home)["told"] == []
        assert len(hub.asked) == number
    assert fetch(address, "wd-vit-tagger-v3", home)["path"] == found["path"], "and offline"


def test_any_repository_can_be_asked_for(tmp_path: Path, home: Path) -> None:
    there = tmp_path / "there"
    tiny_taggers.cl(there / "v2")
    (there / "README.md").write_text("no")
    with serving(Hub(there, "somebody/tagger")) as address:
        found = fetch(address, "somebody/tagger", home)
        assert found["layout"] == "cl" and found["path"].endswith("model.onnx")
    assert not list(home.rglob("README.md"))


def test_a_download_that_broke_off_goes_on(tmp_path: Path, home: Path) -> None:
    there = tiny_taggers.wd(tmp_path / "there")
    with (there / "model.onnx").open("ab") as file:
        file.write(os.urandom(11_000_000))
    hub = Hub(there, "SmilingWolf/wd-vit-tagger-v3")
    hub.breaks_at = 10_500_000
    with serving(hub) as address:
        assert fetch(address, "wd-vit-tagger-v3", home)["code"] == "tagger_offline"
        hub.breaks_at = 0
        hub.asked.clear()
        found = fetch(address, "wd-vit-tagger-v3", home)
        assert Path(found["path"]).read_bytes() == (there / "model.onnx").read_bytes()
        assert any(asked.startswith("bytes=") and asked != "bytes=0-" for _, _, asked in hub.asked)


def test_a_file_that_arrives_damaged_is_not_kept(tmp_path: Path, home: Path) -> None:
    hub = Hub(tiny_taggers.wd(tmp_path / "there"), "SmilingWolf/wd-vit-tagger-v3")
    hub.wrong_hash = True
    with serving(hub) as address:
        assert fetch(address, "wd-vit-tagger-v3", home)["code"] == "tagger_hash_wrong"
    assert not list((home / "models").rglob("model.onnx"))


def test_offline_and_denied_are_told_in_words(tmp_path: Path, home: Path) -> None:
    nobody = "http://127.0.0.1:9"
    off = {"HF_HUB_OFFLINE": "1"}
    for variables, code in (({}, "tagger_offline"), (off, "tagger_downloads_off")):
        told = fetch(nobody, "wd-vit-tagger-v3", home, **variables)
        assert told["code"] == code and str(files.models_dir() / "wd-vit-tagger-v3") in told["text"]
        assert fetch(nobody, "somebody/tagger", home, **variables)["code"] == code
    with serving(Hub(tmp_path, "somebody/else")) as address:
        assert fetch(address, "wd-vit-tagger-v3", home)["code"] == "tagger_hub_denied"
        assert fetch(address, "somebody/tagger", home)["code"] == "tagger_hub_denied"


@pytest.mark.parametrize(
    "variables",
    [{"ALL_PROXY": "socks5://127.0.0.1:9"}, {"HTTPS_PROXY": "socks://127.0.0.1:9"}],
    ids=["socks5", "socks"],
)
def test_a_proxy_that_cannot_be_used_is_told_in_words(home: Path, variables: dict[str, str]) -> None:
    told = fetch("https://hub.invalid", "wd-vit-tagger-v3", home, NO_PROXY="", **variables)
    assert told["code"] in ("tagger_proxy", "tagger_offline")  # the latter where socksio is installed
    assert "wd-vit-tagger-v3" in told["text"]


def test_weights_that_can_carry_programs_are_neither_downloaded_nor_opened(tmp_path: Path, home: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for name in ("config.json", "pytorch_model.bin", "training_args.h5"):
        (there / name).write_text("{}")
    with serving(Hub(there, "somebody/old")) as address:
        told = fetch(address, "somebody/old", home)
    assert told["code"] == "tagger_without_safetensors" and "somebody/old" in told["text"]
    assert not list((home / "models").rglob("*.bin"))
    with pytest.raises(UserError) as refused:
        files.get(str(there))
    assert refused.value.problem.code == "tagger_without_safetensors"


def test_a_mirror_that_gives_no_hashes_is_believed(tmp_path: Path, home: Path) -> None:
    hub = Hub(tiny_taggers.wd(tmp_path / "there"), "SmilingWolf/wd-vit-tagger-v3")
    hub.tag = "5f3a-61c/8=="
    with serving(hub) as address:
        found = fetch(address, "wd-vit-tagger-v3", home)
    assert Path(found["path"]).is_file()
    assert not list((home / "models").rglob("*.part"))


def test_two_processes_download_a_model_once(tmp_path: Path, home: Path) -> None:
    there = tiny_taggers.wd(tmp_path / "there")
    hub = Hub(there, "SmilingWolf/wd-vit-tagger-v3")
    with serving(hub) as address, ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: fetch(address, "wd-vit-tagger-v3", home), range(2)))
    assert found[0]["path"] == found[1]["path"]
    assert Path(found[0]["path"]).read_bytes() == (there / "model.onnx").read_bytes()
    assert sum(asked[:2] == ("GET", hub.file("model.onnx")) for asked in hub.asked) == 1
    assert not list((home / "models").rglob("*.part"))


def test_a_model_that_the_disk_has_no_room_for_is_refused_before_it_is_full(tmp_path: Path, home: Path) -> None:
    hub = Hub(tiny_taggers.wd(tmp_path / "there"), "SmilingWolf/wd-vit-tagger-v3")
    hub.size = 10**18
    with serving(hub) as address:
        told = fetch(address, "wd-vit-tagger-v3", home)
    assert told["code"] == "tagger_no_room" and "1000000000.0" in told["text"]
