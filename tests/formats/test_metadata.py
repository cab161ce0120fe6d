"""What a LoRA file says of itself, as A1111, ComfyUI and sd-scripts read it."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from backend.config.root import TrainConfig
from backend.families.specs import FAMILIES
from backend.formats.files import save_safetensors
from backend.formats.metadata import (
    TrainingFacts,
    legacy_hash,
    lora_metadata,
    modelspec,
    ss_metadata,
    sshs_hashes,
    tag_frequency,
)

FACTS = TrainingFacts(
    base_model_name="\u732b v1.safetensors",
    prediction_type="epsilon",
    num_images=34,
    num_reg_images=12,
    batches_per_epoch=17,
    total_steps=170,
    step=85,
    epoch=5,
    started_at=1_700_000_000.5,
    finished_at=1_700_000_600.0,
    base_model_hash="0123abcd",
    folders={"10_zkz": (10, 3), "\u80cc\u666f": (2, 2)},
    tag_frequency={"10_zkz": {"zkz": 3, "\u732b": 1}},
    buckets=(((512, 512), 30), ((448, 576), 4)),
)


def config(family: str = "sd15", **sections: dict) -> TrainConfig:
    model = {"family": family, "base_model": "/home/someone/secret/\u732b v1.safetensors"}
    data = {"datasets": [{"path": "/home/someone/secret/10_zkz"}]}
    return TrainConfig.model_validate({"model": model, "data": data, "output": {"name": "zkz"}, **sections})


@pytest.fixture
def metadata() -> dict[str, str]:
    adapter = {"kind": "lora", "rank": 12, "alpha": 6.0}
    return ss_metadata(config(adapter=adapter), FAMILIES["sd15"], FACTS)


def test_what_other_programs_read(metadata: dict[str, str]) -> None:
    expected = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "12",
        "ss_network_alpha": "6.0",
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_sd_model_name": "\u732b v1.safetensors",
        "ss_sd_model_hash": "0123abcd",
        "ss_output_name": "zkz",
        "ss_steps": "85",
        "ss_epoch": "5",
        "ss_max_train_steps": "170",
        "ss_num_train_images": "34",
        "ss_num_reg_images": "12",
        "ss_num_batches_per_epoch": "17",
        "ss_training_started_at": "1700000000.5",
    }
    assert expected.items() <= metadata.items()
    assert json.loads(metadata["ss_tag_frequency"]) == {"10_zkz": {"zkz": 3, "\u732b": 1}}
    dirs = json.loads(metadata["ss_dataset_dirs"])
    assert dirs == {"10_zkz": {"n_repeats": 10, "img_count": 3}, "\u80cc\u666f": {"n_repeats": 2, "img_count": 2}}
    buckets = json.loads(metadata["ss_bucket_info"])["buckets"]
    assert buckets["1"] == {"resolution": [448, 576], "count": 4}


def test_data_sets_with_rules_of_their_own_are_told_of() -> None:
    data = {
        "width": 500,
        "trigger_word": "zkz",
        "datasets": [
            {"path": "a", "resolutions": [512, 768], "keep_tokens": 2},
            {"path": "b", "crop": "random", "flip_augmentation": True, "trigger_word": "ohw"},
            {"path": "c", "role": "regularization", "color_augmentation": True, "trigger_word": "cat"},
        ],
    }
    described = config(data=data)
    expected = {
        "ss_resolution": "(768, 768)",
        "ss_keep_tokens": "2",
        "ss_random_crop": "True",
        "ss_flip_aug": "True",
        "ss_color_aug": "False",
    }
    assert expected.items() <= ss_metadata(described, FAMILIES["sd15"], FACTS).items()
    model = modelspec(described, FAMILIES["sd15"], FACTS)
    assert (model["modelspec.resolution"], model["modelspec.trigger_phrase"]) == ("768x768", "zkz, ohw")


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_is_text_and_nothing_tells_where_files_are(family: str) -> None:
    state = {"a": torch.zeros(2)}
    metadata = lora_metadata(config(family), FAMILIES[family], FACTS, state)
    assert all(type(key) is str and type(value) is str for key, value in metadata.items())
    assert "someone" not in json.dumps(metadata)
    assert "secret" not in json.dumps(metadata)


def test_a_file_carries_it_whole(tmp_path: Path) -> None:
    state = {"a": torch.zeros(2)}
    metadata = lora_metadata(config(), FAMILIES["sd15"], FACTS, state)
    save_safetensors(tmp_path / "x.safetensors", state, metadata)
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == metadata


# As sd-scripts names them: get_model_version_str_for_sd1_sd2, sdxl's constant, sai_model_spec's ARCH_*.
@pytest.mark.parametrize(
    ("family", "prediction_type", "version", "architecture", "is_v2"),
    [
        ("sd15", "epsilon", "sd_v1", "stable-diffusion-v1", "False"),
        ("sd15", "v_prediction", "sd_v1_v", "stable-diffusion-v1", "False"),
        ("sd2", "epsilon", "sd_v2", "stable-diffusion-v2-512", "True"),
        ("sd2", "v_prediction", "sd_v2_v", "stable-diffusion-v2-768-v", "True"),
        ("sdxl", "epsilon", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base", "False"),
        ("sdxl", "v_prediction", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base", "False"),
    ],
)
def test_names_of_the_base_model(
    family: str, prediction_type: str, version: str, architecture: str, is_v2: str
) -> None:
    facts = replace(FACTS, prediction_type=prediction_type)
    metadata = lora_metadata(config(family), FAMILIES[family], facts, {"a": torch.zeros(2)})
    assert metadata["ss_base_model_version"] == version
    assert metadata["ss_v2"] == is_v2
    assert metadata["modelspec.architecture"] == f"{architecture}/lora"
    assert metadata["modelspec.prediction_type"] == {"v_prediction": "v"}.get(prediction_type, prediction_type)


def test_the_whole_model_is_no_lora() -> None:
    metadata = modelspec(config(adapter={"kind": "full"}), FAMILIES["sdxl"], FACTS)
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base"
    assert metadata["modelspec.date"] == "2023-11-14T22:23:20+00:00"
    assert metadata["modelspec.title"] == "zkz"
    assert "modelspec.author" not in metadata, "an empty entry says nothing"


def test_tags_are_counted_by_folder() -> None:
    counts = tag_frequency({"a": ["zkz, red cat,", " zkz ,\u732b"], "b": [""]})
    assert counts == {"a": {"zkz": 2, "red cat": 1, "\u732b": 1}, "b": {}}
    assert tag_frequency({"a": ["one; two"]}, ";") == {"a": {"one": 1, "two": 1}}


def test_hashes_by_hand() -> None:
    """A file put together from the format's description, hashed as sd-webui-additional-networks does."""
    data = bytes(range(256)) * 0x1200
    row = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": {"ss_a": "1"}, "w": row}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    file = struct.pack("<Q", len(header)) + header + data
    expected = hashlib.sha256(data).hexdigest(), hashlib.sha256(file[0x100000:0x110000]).hexdigest()[:8]
    state = {"w": torch.frombuffer(bytearray(data), dtype=torch.uint8)}
    assert sshs_hashes(state, {"ss_a": "1"}) == expected
    assert sshs_hashes(state, {"ss_a": "1", "modelspec.title": "renamed later"}) == expected
    assert sshs_hashes(state, {"ss_a": "12345678"})[0] == expected[0], "metadata is no part of the model's hash"


def test_the_hash_in_the_file_is_that_of_the_file(tmp_path: Path) -> None:
    state = {"w": torch.randn(300, 1000).half()}
    metadata = lora_metadata(config(), FAMILIES["sd15"], FACTS, state)
    path = tmp_path / "x.safetensors"
    save_safetensors(path, state, metadata)
    content = path.read_bytes()
    data = content[8 + int.from_bytes(content[:8], "little") :]
    assert metadata["sshs_model_hash"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 100, 0x100010, 0x120000])
def test_the_short_hash_of_a_base_model(size: int, tmp_path: Path) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    (tmp_path / "x.safetensors").write_bytes(content)
    expected = hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8]
    assert legacy_hash(tmp_path / "x.safetensors") == expected
