"""The browser's conditions say what the program's say: one form, one check."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from backend.config.base import flatten, holds
from backend.config.root import TrainConfig, parameters
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


@pytest.mark.skipif(NODE is None, reason="needs Node to run the script without a browser")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_browser_shows_exactly_the_fields_that_apply(family: str) -> None:
    cases = [{**flatten(TrainConfig()), **change, "model.family": family} for change in CHANGES]
    call = "schema.fields.filter((f) => !failing(f, values, schema.facts).length).map((f) => f.path)"
    program = (
        f"{script('conditions.js')}\nconst schema = {json.dumps(form.schema('en'))};\n"
        f"console.log(JSON.stringify({json.dumps(cases)}.map((values) => {call})));"
    )
    done = subprocess.run([NODE or "", "-"], input=program, capture_output=True, text=True, timeout=60, check=True)
    facts = FAMILIES[family].facts()
    expected = [[item.path for item in parameters() if holds(item.ui.when, {**values, **facts})] for values in cases]
    assert json.loads(done.stdout) == expected
    assert len({len(paths) for paths in expected}) > 1
