"""The browser's conditions say what the program's say: one form, one check."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from backend.config.base import flatten, holds, item_values
from backend.config.root import TrainConfig, by_path, item_parameters, parameters
from backend.families.specs import FAMILIES
from ui import form
from ui.markup import script

NODE = shutil.which("node")
CHANGES = (
    {},
    {"optimizer.kind": "prodigy"},
    {"optimizer.kind": "adafactor", "adapter.kind": "full"},
    {"data.enable_bucket": False, "data.shuffle_caption": True},
    {"scheduler.kind": "polynomial", "training.train_text_encoder": True},
    {"scheduler.kind": "cosine_with_restarts", "training.train_denoiser": False},
    {"loss.kind": "huber", "noise.multires_noise_iterations": 6},
)


ROWS = (
    {},
    {"source": "table", "mask": "folder"},
    {"source": "folder", "conditioning": "folder"},
    {"enable_bucket": False},
    {"bucket_rule": "aspects", "tag_dropout_rate": 0.2},
    {"bucket_rule": "area", "enable_bucket": True, "tag_dropout_rate": 0},
)
GENERAL = ({}, {"data.enable_bucket": False}, {"data.bucket_rule": "sizes", "data.mixing": "weights"})


def run_script(program: str) -> Any:
    done = subprocess.run([NODE or "", "-"], input=program, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(NODE is None, reason="needs Node to run the script without a browser")
def test_the_browser_shows_exactly_the_fields_of_a_row_that_apply() -> None:
    members = item_parameters("datasets")
    cases = [({**flatten(TrainConfig()), **general}, row) for general in GENERAL for row in ROWS]
    program = (
        f"{script('conditions.js')}\nconst members = {json.dumps(form.members('datasets', 'en'))};\n"
        f"console.log(JSON.stringify({json.dumps(cases)}.map(([values, row]) => {{\n"
        "const seen = itemValues(values, members, row);\n"
        "return members.filter((m) => !failing(m, seen, {}).length).map((m) => m.name); })));"
    )
    expected = [
        [item.name for item in members if item.applies(item_values(values, members, row))] for values, row in cases
    ]
    assert run_script(program) == expected
    assert len({tuple(names) for names in expected}) > 6


@pytest.mark.skipif(NODE is None, reason="needs Node to run the script without a browser")
@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["a", "b"], "a, b"),
        (["one, two.png"], "one, two.png\n"),
        (["a, b", "c"], "a, b\nc\n"),
        ([], ""),
        ([512, 0.5], "512, 0.5"),
    ],
)
def test_lists_read_back_as_they_are_written(values: list, text: str) -> None:
    shown = run_script(f"{script('fields.js')}\nconsole.log(JSON.stringify(listText({json.dumps(values)})));")
    assert shown == text
    kind = "data.tag_dropout_only" if isinstance((values or [""])[0], str) else "data.bucket_aspects"
    assert form.read_value(by_path()[kind], shown) == values


@pytest.mark.skipif(NODE is None, reason="needs Node to run the script without a browser")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_browser_shows_exactly_the_fields_that_apply(family: str) -> None:
    cases = [{**flatten(TrainConfig()), **change, "model.family": family} for change in CHANGES]
    call = "schema.fields.filter((f) => !failing(f, values, schema.facts).length).map((f) => f.path)"
    program = (
        f"{script('conditions.js')}\nconst schema = {json.dumps(form.schema('en'))};\n"
        f"console.log(JSON.stringify({json.dumps(cases)}.map((values) => {call})));"
    )
    facts = FAMILIES[family].facts()
    expected = [[item.path for item in parameters() if holds(item.ui.when, {**values, **facts})] for values in cases]
    assert run_script(program) == expected
    assert len({len(paths) for paths in expected}) > 1
