"""Every rule has a configuration that triggers it, and words in every language."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from backend.config import checks
from backend.config.base import flatten
from backend.config.messages import has, languages
from backend.config.problems import Problem
from backend.config.root import TrainConfig, parse
from backend.families import specs

FINE: dict[str, Any] = {
    "model": {"base_model": "model.safetensors"},
    "data": {"datasets": [{"path": "pictures"}]},
    "sampling": {"prompts": [{"prompt": "zkz"}]},
}
# code, path of the problem, family, what is set
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("datasets_empty", "data.datasets", "sd15", {"data.datasets": []}),
    ("dataset_path_empty", "data.datasets[1].path", "sd15", {"data.datasets": [{"path": "a"}, {"path": " "}]}),
    ("datasets_empty", "data.datasets", "sd15", {"data.datasets": [{"path": "a", "enabled": False}]}),
    (
        "prior_full",
        "data.datasets[1].role",
        "sd15",
        {"adapter.kind": "full", "data.datasets": [{"path": "a"}, {"path": "b", "role": "prior"}]},
    ),
    (
        "epochs_reversed",
        "data.datasets[0].end_epoch",
        "sd15",
        {"data.datasets": [{"path": "a", "start_epoch": 3, "end_epoch": 2}]},
    ),
    (
        "nothing_to_learn",
        "data.datasets[0].role",
        "sd15",
        {"data.datasets": [{"path": "a", "role": "validation"}, {"path": "b", "role": "regularization"}]},
    ),
    ("repeats_zero", "data.datasets[0].num_repeats", "sd15", {"data.datasets": [{"path": "a", "num_repeats": 0}]}),
    (
        "weights_zero",
        "data.datasets[1].weight",
        "sd15",
        {
            "data.mixing": "weights",
            "data.datasets": [
                {"path": "a", "role": "regularization"},
                {"path": "b", "weight": 0},
                {"path": "c", "weight": 0},
            ],
        },
    ),
    (
        "epochs_without_data",
        "data.datasets",
        "sd15",
        {"training.num_epochs": 5, "data.datasets": [{"path": "a", "end_epoch": 2}, {"path": "b", "start_epoch": 4}]},
    ),
    ("size_not_multiple", "data.width", "sd15", {"data.width": 516}),
    ("size_not_multiple", "data.datasets[0].height", "sd15", {"data.datasets": [{"path": "a", "height": 516}]}),
    ("size_not_multiple", "data.resolutions", "sd15", {"data.resolutions": [512, 700]}),
    ("size_not_multiple", "data.bucket_sizes", "sd15", {"data.bucket_rule": "sizes", "data.bucket_sizes": ["512x700"]}),
    ("greater_than_equal", "data.resolutions", "sd15", {"data.resolutions": [8]}),
    ("less_than_equal", "data.resolutions", "sd15", {"data.resolutions": [9000]}),
    ("aspects_reversed", "data.maximum_aspect", "sd15", {"data.minimum_aspect": 2.0, "data.maximum_aspect": 0.5}),
    ("bucket_sizes_empty", "data.bucket_sizes", "sd15", {"data.bucket_rule": "sizes"}),
    (
        "bucket_size_invalid",
        "data.bucket_sizes",
        "sd15",
        {"data.bucket_rule": "sizes", "data.bucket_sizes": ["512x768", "512"]},
    ),
    ("greater_than", "data.bucket_aspects", "sd15", {"data.bucket_rule": "aspects", "data.bucket_aspects": [1.0, 0.0]}),
    ("size_not_multiple", "sampling.height", "sd15", {"sampling.height": 100}),
    ("bucket_step", "data.bucket_step", "sd15", {"data.bucket_step": 12}),
    (
        "bucket_step_large",
        "data.bucket_step",
        "sd15",
        {"data.bucket_step": 512, "data.width": 64, "data.height": 64, "data.min_bucket_resolution": 64},
    ),
    ("bucket_min", "data.min_bucket_resolution", "sd15", {"data.min_bucket_resolution": 600}),
    ("bucket_max", "data.max_bucket_resolution", "sdxl", {"data.width": 1536}),
    ("bucket_max", "data.max_bucket_resolution", "sd15", {"data.resolutions": [512, 1536]}),
    (
        "bucket_min",
        "data.datasets[1].min_bucket_resolution",
        "sd15",
        {"data.datasets": [{"path": "a"}, {"path": "b", "min_bucket_resolution": 600}]},
    ),
    ("latents_random_crop", "data.crop", "sd15", {"data.crop": "random"}),
    (
        "latents_random_crop",
        "data.datasets[0].crop",
        "sd15",
        {"data.datasets": [{"path": "a", "crop": "random"}, {"path": "b", "enabled": False}]},
    ),
    ("latents_color", "data.color_augmentation", "sd15", {"data.color_augmentation": True}),
    *(
        ("text_cache_varies", f"data.{name}", "sd15", {"cache.text_embeddings": "disk", f"data.{name}": value})
        for name, value in (
            ("shuffle_caption", True),
            ("token_warmup_steps", 0.5),
            ("tag_dropout_rate", 0.1),
            ("enable_wildcard", True),
        )
    ),
    (
        "text_cache_varies",
        "data.datasets[0].code_path",
        "sd15",
        {"cache.text_embeddings": "memory", "data.datasets": [{"path": "a", "code_path": "mine.py"}]},
    ),
    (
        "text_cache_trained",
        "training.train_text_encoder",
        "sd15",
        {"cache.text_embeddings": "disk", "training.train_text_encoder": True},
    ),
    (
        "text_cache_trained",
        "training.train_text_encoder_2",
        "sdxl",
        {"cache.text_embeddings": "disk", "training.train_text_encoder_2": True},
    ),
    ("nothing_to_train", "training.train_denoiser", "sd15", {"training.train_denoiser": False}),
    (
        "nothing_to_train",
        "training.train_denoiser",
        "sd15",
        {"training.train_denoiser": False, "training.train_text_encoder_2": True},
    ),
    (
        "fp16_on_cpu",
        "training.mixed_precision",
        "sd15",
        {"training.mixed_precision": "fp16", "hardware.device": "cpu"},
    ),
    (
        "noise_offset_multires",
        "noise.noise_offset",
        "sd15",
        {"noise.noise_offset": 0.05, "noise.multires_noise_iterations": 6},
    ),
    ("timestep_range", "noise.min_timestep", "sd15", {"noise.min_timestep": 500, "noise.max_timestep": 500}),
    (
        "ztsnr_epsilon",
        "noise.zero_terminal_snr",
        "sd15",
        {"noise.zero_terminal_snr": True, "model.prediction_type": "epsilon"},
    ),
    ("warmup_twice", "scheduler.warmup_ratio", "sd15", {"scheduler.warmup_steps": 5, "scheduler.warmup_ratio": 0.1}),
    ("prodigy_rate", "optimizer.learning_rate", "sd15", {"optimizer.kind": "prodigy"}),
    (
        "prodigy_rates",
        "optimizer.text_encoder_learning_rate",
        "sd15",
        {
            "optimizer.kind": "prodigy",
            "optimizer.learning_rate": 1.0,
            "training.train_text_encoder": True,
            "optimizer.text_encoder_learning_rate": 0.5,
        },
    ),
    ("full_rate", "optimizer.learning_rate", "sd15", {"adapter.kind": "full"}),
    ("rate_high", "optimizer.learning_rate", "sd15", {"optimizer.learning_rate": 0.1}),
    ("rates_zero", "optimizer.learning_rate", "sd15", {"optimizer.denoiser_learning_rate": 0.0}),
    ("base_model_empty", "model.base_model", "sd15", {"model.base_model": "  "}),
    ("prompt_empty", "sampling.prompts[0].prompt", "sd15", {"sampling.prompts": [{"prompt": ""}]}),
    ("no_samples", "sampling.prompts", "sd15", {"sampling.prompts": []}),
    ("gpu_ids_count", "hardware.gpu_ids", "sd15", {"hardware.gpu_ids": "0,1"}),
    ("no_effect", "optimizer.d_coef", "sd15", {"optimizer.d_coef": 2.0}),
    ("no_effect", "model.clip_skip", "sdxl", {"model.clip_skip": 2}),
    ("no_effect", "data.tag_dropout_only", "sd15", {"data.tag_dropout_only": ["smile"]}),
    ("no_effect", "data.datasets[0].mask_dir", "sd15", {"data.datasets": [{"path": "a", "mask_dir": "masks"}]}),
    (
        "no_effect",
        "data.datasets[0].bucket_step",
        "sd15",
        {"data.datasets": [{"path": "a", "bucket_step": 32, "enable_bucket": False}]},
    ),
]


def configured(values: dict[str, Any]) -> TrainConfig:
    data = {section: dict(table) for section, table in FINE.items()}
    for path, value in values.items():
        section, name = path.split(".", 1)
        data.setdefault(section, {})[name] = value
    config, problems = parse(data)
    assert config is not None, problems
    return config


def check(family: str, values: dict[str, Any]) -> list[Problem]:
    return checks.check(configured({**values, "model.family": family}), specs.get(family).facts())


@pytest.mark.parametrize("family", specs.FAMILIES)
def test_an_ordinary_configuration_has_no_problem(family: str) -> None:
    assert check(family, dict(specs.get(family).defaults)) == []


@pytest.mark.parametrize(
    ("code", "path", "family", "values"), CASES, ids=[f"{row[0]}-{row[2]}-{row[1]}" for row in CASES]
)
def test_a_rule_is_triggered_and_told(code: str, path: str, family: str, values: dict[str, Any]) -> None:
    problems = check(family, values)
    found = [problem for problem in problems if problem.code == code and problem.path == path]
    assert found, problems
    for language in languages():
        assert has(f"problem.{code}", language)
        assert "{" not in found[0].text(language)


@pytest.mark.parametrize(
    "values",
    [
        # Each has its own size: what is not used is not refused.
        {"data.bucket_rule": "area", "data.width": 500},
        {"data.resolutions": [512, 768], "data.width": 500},
        {"data.bucket_rule": "sizes", "data.bucket_sizes": ["512x768"], "data.bucket_step": 12},
        {"data.bucket_no_upscale": True, "data.max_bucket_resolution": 256},
        {"data.enable_bucket": False, "data.max_bucket_resolution": 256},
        # Captions that vary among a number of variants, and crops at random of pictures that are not cached.
        {"cache.text_embeddings": "disk", "data.shuffle_caption": True, "data.caption_variants": 4},
        {"cache.latents": "off", "data.crop": "random", "data.color_augmentation": True},
        # Data sets that are off are not looked at, and those with rules of their own not by the general ones.
        {"data.datasets": [{"path": "a"}, {"path": "", "enabled": False, "width": 500}]},
        {"data.crop": "random", "data.datasets": [{"path": "a", "crop": "center"}]},
        {"data.datasets": [{"path": "a", "end_epoch": 2}, {"path": "b", "start_epoch": 3}]},
        {"data.datasets": [{"path": "a", "num_repeats": 0, "num_samples": 10}]},
        {"data.datasets": [{"path": "a"}, {"path": "b", "role": "prior"}]},
    ],
)
def test_what_works_is_not_refused(values: dict[str, Any]) -> None:
    assert [problem for problem in check("sd15", values) if problem.code != "no_effect"] == []


def test_a_general_rule_has_an_effect_when_a_data_set_needs_it() -> None:
    rows = [{"path": "a", "tag_dropout_rate": 0.1}]
    assert check("sd15", {"data.tag_dropout_only": ["smile"], "data.datasets": rows}) == []


def test_a_value_without_effect_is_named_in_every_language() -> None:
    (problem,) = check("sd15", {"data.datasets": [{"path": "a", "mask_dir": "masks"}]})
    assert "'Folder of the masks'" in problem.text("en") and "“遮罩文件夹”" in problem.text("zh-CN")
    (problem,) = check("sd15", {"data.tag_dropout_only": ["smile", "hat"]})
    assert problem.text("zh-CN").startswith("“只丢弃这些标签”设成了 smile, hat")


def test_what_several_data_sets_share_is_told_once() -> None:
    rows = [{"path": "a"}, {"path": "b"}, {"path": "c", "crop": "random"}]
    found = check("sd15", {"data.crop": "random", "data.datasets": rows})
    assert [problem.path for problem in found] == ["data.crop", "data.datasets[2].crop"]


def test_errors_come_before_warnings() -> None:
    levels = [problem.level for problem in check("sd15", {"sampling.prompts": [], "data.crop": "random"})]
    assert levels == ["error", "warning"]


def test_every_rule_has_a_case() -> None:
    tree = ast.parse(inspect.getsource(checks))
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_problem"
    ]
    codes = {call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)}
    assert len(codes) > 20
    assert codes == {code for code, *_ in CASES}


def test_conditions_name_parameters_and_facts_that_exist() -> None:
    from backend.config.root import parameters

    known = {*flatten(TrainConfig()), *specs.get("sd15").facts()}
    for item in parameters():
        assert {condition.path for condition in item.ui.when} <= known, item.path
