"""Sample pictures on the way, always from the same noise, so that steps can be compared."""

from __future__ import annotations

import json
from io import BytesIO

from PIL import PngImagePlugin

from backend.config.geometry import training_size
from backend.formats.files import replacing
from backend.training.session import Session


def sample(session: Session) -> None:
    """Paint every prompt with the weights as they are now and tell of each picture.

    Raises:
        UserError: `disk_full` or `file_unwritable`.
    """
    sampling, trained = session.config.sampling, training_size(session.config.data)
    if not sampling.prompts or not session.state.is_main_process:
        return
    session.reporter.phase("sampling")
    width, height = sampling.width or trained[0], sampling.height or trained[1]
    step = session.loop.step
    for index, prompt in enumerate(sampling.prompts):
        image = session.family.sample(prompt, sampling, width=width, height=height)
        info = PngImagePlugin.PngInfo()
        settings = {**sampling.model_dump(exclude={"prompts"}), **prompt.model_dump(), "width": width, "height": height}
        info.add_itxt("parameters", json.dumps({"step": step, **settings}, ensure_ascii=False))
        content = BytesIO()
        image.save(content, format="PNG", pnginfo=info)
        path = session.run.samples_dir / f"{step:08d}_{index:02d}.png"
        with replacing(path) as fresh:
            fresh.write_bytes(content.getvalue())
        session.reporter.emit(
            "sample", step=step, prompt_index=index, prompt=prompt.prompt, path=str(path), seed=prompt.seed
        )
        session.reporter.image(step, index, path)
        session.reporter.progress(index + 1, len(sampling.prompts), "samples")
