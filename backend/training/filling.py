"""Fill the caches of a configuration without training, in one process or in each of several."""

from __future__ import annotations

import sys
import time

from backend.config.messages import translate
from backend.config.problems import ConfigError, Problem, render
from backend.config.root import TrainConfig
from backend.families import specs
from backend.training import feeding
from backend.training.distributed import make_state
from backend.training.session import check_device, load_family, refuse_mistakes

LINE_SECONDS = 2.0


class ConsoleTeller:
    """Tells of progress and of bad pictures on the console; silent in processes that are not the main one."""

    def __init__(self, language: str, *, is_main: bool) -> None:
        self.language = language
        self.is_main = is_main
        self._told_at = 0.0

    def progress(self, done: int, total: int, unit: str) -> None:
        """Write how far it is, every other second and at the end."""
        now = time.monotonic()
        if self.is_main and (done == total or now - self._told_at >= LINE_SECONDS):
            self._told_at = now
            name = translate(f"progress.{unit}", self.language)
            print(translate("cli.cache.progress", self.language, done=done, total=total, unit=name), flush=True)

    def warn(self, problem: Problem) -> None:
        """Write what was left out."""
        if self.is_main:
            print(translate("cli.warning", self.language), render(problem, self.language), file=sys.stderr, flush=True)


def fill(config: TrainConfig, language: str) -> None:
    """Encode what the caches of a configuration lack, this process its share.

    Raises:
        UserError: What keeps a training from starting keeps this, too.
    """
    state = make_state(config.hardware.device)
    check_device(config, state)
    spec = specs.get(config.model.family)
    refuse_mistakes(config, spec)
    if config.cache.latents != "disk" and config.cache.text_embeddings != "disk":
        raise ConfigError([Problem("error", "cache_nothing_kept", "cache.latents", {"value": config.cache.latents})])
    teller = ConsoleTeller(language, is_main=state.is_main_process)
    found = feeding.find_pictures(config, teller)
    family = load_family(config, state.device, spec)
    feeding.fill_caches(config, family, found, state=state, teller=teller, stop=lambda: False)
