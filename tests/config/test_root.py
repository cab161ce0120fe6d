"""Reading a configuration: what is refused, with which words, and what other trainers' names lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.config import root
from backend.config.messages import has, languages
from backend.config.problems import ConfigError, UserError
from backend.config.root import CURRENT_VERSION, TrainConfig, by_path, load, parameters, parse, set_value


def problem_of(data: dict[str, Any]) -> root.Problem:
    config, problems = parse(data)
    assert config is None
    (problem,) = problems
    for language in languages():
        assert has(f"problem.{problem.code}", language), problem.code
        assert "{" not in problem.text(language), problem
    return problem


@pytest.mark.parametrize(
    ("data", "path", "suggestion"),
    [
        ({"training": {"bach_size": 2}}, "training.bach_size", "batch_size"),
        ({"trainning": {}}, "trainning", "training"),
        ({"data": {"datasets": [{"pth": "a"}]}}, "data.datasets[0].pth", "path"),
        ({"sampling": {"prompts": [{"sead": 1}]}}, "sampling.prompts[0].sead", "seed"),
        ({"model": {"rank": 4}}, "model.rank", "adapter.rank"),
        ({"network_dim": 4}, "network_dim", "adapter.rank"),
        ({"adapter": {"network_alpha": 4}}, "adapter.network_alpha", "adapter.alpha"),
        ({"max_bucket_reso": 1}, "max_bucket_reso", "data.max_bucket_resolution"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_known_name(data: dict[str, Any], path: str, suggestion: str) -> None:
    problem = problem_of(data)
    assert (problem.code, problem.path, problem.params["suggestion"]) == ("unknown_key_suggest", path, suggestion)


def test_a_key_like_no_other_is_refused_without_a_guess() -> None:
    assert problem_of({"qqqqqqq": 1}).code == "unknown_key"


def test_names_of_other_trainers_lead_to_ours() -> None:
    aliases = {alias for item in parameters() for alias in item.ui.aliases if "." not in alias}
    for alias in sorted(aliases - TrainConfig.model_fields.keys()):
        problem = problem_of({alias: 1})
        assert problem.code == "unknown_key_suggest", alias
        target = by_path()[problem.params["suggestion"]]
        assert alias == target.name or alias in target.ui.aliases


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"training": {"batch_size": 0}}, "greater_than_equal"),
        ({"training": {"batch_size": 1.5}}, "int_from_float"),
        ({"training": {"batch_size": "two"}}, "int_parsing"),
        ({"training": {"batch_size": []}}, "int_type"),
        ({"training": {"mixed_precision": "fp8"}}, "literal_error"),
        ({"training": 3}, "model_type"),
        ({"optimizer": {"learning_rate": 0}}, "greater_than"),
        ({"optimizer": {"learning_rate": "fast"}}, "float_parsing"),
        ({"optimizer": {"learning_rate": float("inf")}}, "finite_number"),
        ({"optimizer": {"beta1": 1}}, "less_than"),
        ({"data": {"caption_dropout_rate": 2}}, "less_than_equal"),
        ({"data": {"datasets": 3}}, "list_type"),
        ({"data": {"caption_extension": "txt"}}, "string_pattern_mismatch"),
        ({"data": {"trigger_word": 3}}, "string_type"),
        ({"data": {"strict": "perhaps"}}, "bool_parsing"),
        ({"data": {"strict": []}}, "bool_type"),
        ({"output": {"name": ""}}, "string_too_short"),
        ({"output": {"name": "x" * 101}}, "string_too_long"),
        ({"version": CURRENT_VERSION + 1}, "version_too_new"),
        ({"version": "one"}, "version_invalid"),
        ({"version": True}, "version_invalid"),
        ({"version": 0}, "version_invalid"),
    ],
)
def test_values_are_refused_in_words(data: dict[str, Any], code: str) -> None:
    assert problem_of(data).code == code


def test_all_problems_are_listed_at_once() -> None:
    _, problems = parse({"training": {"batch_size": 0, "num_epochs": 0}, "data": {"width": 1}})
    assert [problem.path for problem in problems] == ["data.width", "training.num_epochs", "training.batch_size"]


def test_old_versions_are_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "training": {"batch_size": data["training"]["batch"]}}

    monkeypatch.setattr(root, "CURRENT_VERSION", 3)
    monkeypatch.setattr(root, "MIGRATIONS", {1: rename, 2: lambda data: {**data, "passed": True}})
    assert root.migrate({"version": 1, "training": {"batch": 4}}) == {
        "version": 3,
        "training": {"batch_size": 4},
        "passed": True,
    }
    assert "passed" not in root.migrate({"version": 3, "training": {}})


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("training.batch_size=4", 4),
        ("training.batch_size = 1e-4", 1e-4),
        ("training.batch_size=true", True),
        ("training.batch_size=D:\\models\\a.safetensors", "D:\\models\\a.safetensors"),
        ('training.batch_size="4"', "4"),
        ("training.batch_size=a=b", "a=b"),
        ("training.batch_size=", ""),
    ],
)
def test_overrides_are_read_as_toml_or_else_as_text(assignment: str, value: Any) -> None:
    data: dict[str, Any] = {"training": {"seed": 1}}
    set_value(data, assignment)
    assert data == {"training": {"seed": 1, "batch_size": value}}


@pytest.mark.parametrize("assignment", ["nonsense", "=3", "version.a=1"])
def test_overrides_that_are_none(assignment: str) -> None:
    with pytest.raises(UserError) as caught:
        set_value({"version": 1}, assignment)
    assert caught.value.problem.code == "bad_assignment"


def test_load_reads_overrides_and_names_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "配置 🔥.toml"
    path.write_bytes("\ufeff[training]\nbatch_size = 3\n".encode())
    assert load(path, ["training.num_epochs=7"]).training.num_epochs == 7
    with pytest.raises(ConfigError) as caught:
        load(path, ["training.num_epochs=0", "data.width=1"])
    assert len(caught.value.problems) == 2
    assert "training.num_epochs" in str(caught.value)
