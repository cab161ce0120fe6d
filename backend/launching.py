"""From a configuration to the folder of a new run that needs nothing of what it was made from but the pictures."""

from __future__ import annotations

from pathlib import Path

from backend.config import paths, presets
from backend.config.root import TrainConfig
from backend.data import user_code
from backend.data.datasets import written_out
from backend.runs.layout import RunFolder, create_run


def new_run(config: TrainConfig, runs_dir: Path) -> RunFolder:
    """Make the folder of a new run: its configuration with absolute paths and every data set, and the user's code.

    Raises:
        UserError: The folder cannot be written to, or the code cannot be read.
    """
    config = paths.absolute(config)
    config = config.model_copy(update={"data": written_out(config.data)})
    run = create_run(runs_dir, config.output.name, presets.to_toml(presets.plain(config)))
    frozen = user_code.freeze(config, run.path / "code")
    if frozen != config:
        presets.write_text(run.config_path, presets.to_toml(presets.plain(frozen)))
    return run
