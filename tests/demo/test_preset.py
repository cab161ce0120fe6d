"""The demo's preset is valid, and everything that it names is there."""

from pathlib import Path

from backend.config import checks
from backend.config.root import load
from backend.families import specs

ROOT = Path(__file__).parents[2]
PRESET = ROOT / "presets/demo/demo.toml"


def test_the_preset_has_no_problem():
    config = load(PRESET)
    assert checks.check(config, specs.get(config.model.family).facts()) == []


def test_what_it_names_is_there_and_every_picture_has_a_caption():
    config = load(PRESET)
    assert (ROOT / config.model.base_model / "model_index.json").is_file()
    for dataset in config.data.datasets:
        pictures = sorted((ROOT / dataset.path).glob("*.png"))
        assert len(pictures) >= 20
        for picture in pictures:
            assert "zkz" in picture.with_suffix(".txt").read_text(encoding="utf-8")


def test_samples_show_the_new_word_and_that_the_old_ones_are_kept():
    prompts = [prompt.prompt for prompt in load(PRESET).sampling.prompts]
    assert any("zkz" in prompt for prompt in prompts)
    assert any("zkz" not in prompt for prompt in prompts)
