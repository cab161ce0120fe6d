"""Captioners, scorers and embedders through transformers: on tiny models with random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_captioners
from PIL import Image

from backend.config import paths
from backend.config.problems import UserError
from backend.data.index import Embedding, Index, Score
from taggers import files
from taggers.base import Picture
from taggers.captioners import Captioner, filled, seen, tidy
from taggers.config import TaggingConfig
from taggers.findings import Findings
from taggers.kinds import load
from taggers.pictures import find
from taggers.tagging import Counts, Listener, Task, tag

MakePictures = Callable[..., Path]
CAT = Picture("/sets/pets", "cats/tom.png", Path("/sets/pets/cats/tom.png"))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from the name of a tiny model to its folder; each is built once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(tiny_captioners, name)(tmp_path_factory.mktemp("models") / f"tiny-{name}")
        return made[name]

    return folder


def opened(folder: Path, **options: Any) -> Any:
    return load(files.at(folder), TaggingConfig(device="cpu", **{"max_new_tokens": 8, **options}))


def run(folder: Path, pictures: Path, **options: Any) -> Counts:
    config = TaggingConfig(
        **{"folders": [str(pictures)], "model": str(folder), "device": "cpu", "max_new_tokens": 8, **options}
    )
    found = files.at(folder)
    task = Task(config, "tagging", kind=found.model.kind)
    tag(task, load(found, config), Listener())
    return task.counts


def test_a_prompt_can_name_the_picture() -> None:
    assert filled("{name} of {folder}: {tags} {x}", CAT, "fur, paws") == "tom of cats: fur, paws {x}"
    assert filled("{tags} {name}", CAT, "the {name} of {folder}") == "the {name} of {folder} tom"
    assert filled("{folder}", Picture("/sets/pets", "tom.png", Path("tom.png")), "") == "pets"


@pytest.mark.parametrize("name", tiny_captioners.CAPTIONERS)
def test_every_kind_of_captioner_describes_batches(
    build: Callable[[str], Path], make_pictures: MakePictures, name: str
) -> None:
    tagger = opened(build(name))
    assert isinstance(tagger, Captioner) and tagger.tags is None
    images = [Image.new("RGB", (20, 12), (grey, grey, grey)) for grey in (0, 128, 255)]
    together = tagger.describe([tagger.prepare(image, CAT) for image in images])
    alone = [tagger.describe([tagger.prepare(image, CAT)])[0] for image in images]
    assert [each.text for each in together] == [each.text for each in alone]
    assert all(len(each.text.replace(" ", "")) <= 8 for each in together), "the question is no part of the answer"
    folder = make_pictures(a=1, b=2)
    assert run(build(name), folder, trigger_word="zkz", additional_tags=["photo"]) == Counts(written=2)
    text = (folder / "a.txt").read_text()
    assert text.startswith("zkz, photo, ")


@pytest.mark.parametrize("name", (*tiny_captioners.CAPTIONERS, "scorer", "clip", "siglip"))
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (4000, 2), (2, 4000)])
def test_no_shape_of_a_picture_ends_a_run(build: Callable[[str], Path], name: str, size: tuple[int, int]) -> None:
    tagger = opened(build(name))
    assert len(tagger.describe([tagger.prepare(Image.new("RGB", size), CAT)])) == 1


def test_a_captioner_sees_photos_at_the_size_of_training_pictures() -> None:
    assert seen(Image.new("RGB", (6000, 4000))).size == (1536, 1024)
    assert seen(Image.new("RGB", (1216, 832))).size == (1216, 832)
    assert seen(Image.new("RGB", (1, 1))).size == (28, 28)


def test_a_chat_model_is_asked_in_its_template(build: Callable[[str], Path]) -> None:
    tagger = opened(build("llava"), prompt="What of {name}?")
    question = tagger.prepare(Image.new("RGB", (8, 8)), CAT)
    assert question.prompt == "USER: <image>What of tom? ASSISTANT:"


def test_a_template_of_words_alone_is_given_words_and_a_system_message(build: Callable[[str], Path]) -> None:
    tagger = opened(build("joycaption"), prompt="What of {name}?")
    question = tagger.prepare(Image.new("RGB", (8, 8)), CAT)
    assert question.prompt == "You are a helpful image captioner. <image>What of tom?"


def test_a_template_without_a_place_for_the_picture_gets_one(tmp_path: Path) -> None:
    folder = tiny_captioners.llava(tmp_path / "tiny")
    (folder / "chat_template.jinja").write_text("<s>Q: {{ messages[-1]['content'] | trim }} A:")
    tagger = opened(folder, prompt="What?")
    question = tagger.prepare(Image.new("RGB", (8, 8)), CAT)
    assert question.prompt == "<s>Q: <image>\nWhat? A:"
    seen: list[Any] = []
    wanted = tagger._model.generate
    tagger._model.generate = lambda **given: seen.append(given["input_ids"]) or wanted(**given)
    tagger.describe([question])
    begins = tagger._processor.tokenizer.bos_token_id
    assert (seen[0] == begins).sum() == 1, "a text that begins with its mark gets no second one"


def test_a_broken_template_is_no_template(tmp_path: Path) -> None:
    folder = tiny_captioners.llava(tmp_path / "tiny")
    (folder / "chat_template.jinja").write_text("{{ messages[0].nothing.at.all }}")
    question = opened(folder, prompt="What?").prepare(Image.new("RGB", (8, 8)), CAT)
    assert question.prompt == "USER: <image>\nWhat? ASSISTANT:"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A cat on a mat. It looks up. Behind it stan", "A cat on a mat. It looks up."),
        ("1girl, long hair, blue dr", "1girl, long hair"),
        (
            "A cat. Then many words without an end to them all and",
            "A cat. Then many words without an end to them all and",
        ),
        ("A cat sits. It is very happy. It is very happy. It is very happy. It is ve", "A cat sits. It is very happy."),
        ("a cat, red, red, red, red, re", "a cat, red"),
        ("Ein sehr sehr sehr großer Hund. Er läuft du", "Ein sehr sehr sehr großer Hund."),
        ("一只猫坐在垫子上。它看着镜头。背景是一", "一只猫坐在垫子上。它看着镜头。"),
        ("<think>Let me see. It is a", ""),
    ],
)
def test_an_answer_that_was_cut_short_ends_where_a_reader_would_end_it(text: str, kept: str) -> None:
    assert tidy(text, is_cut=True) == kept


def test_a_whole_answer_stays_as_it_is_but_for_thoughts() -> None:
    assert tidy("<think>a cat?</think>\nA cat, a cat, a cat, a cat", is_cut=False) == "A cat, a cat, a cat, a cat"


def test_a_long_loop_is_found_at_once() -> None:
    text = "".join(chr(97 + index * index % 23) for index in range(6000)) + " the end" * 200
    assert tidy(text, is_cut=True).endswith(" the end")


def test_the_caption_so_far_can_be_part_of_the_question(
    build: Callable[[str], Path], make_pictures: MakePictures
) -> None:
    folder = make_pictures(a=1)
    (folder / "a.txt").write_text("fur, paws")
    tagger = opened(build("llava"), prompt="{tags}")
    (picture,) = find(TaggingConfig(folders=[str(folder)]))
    assert "fur, paws" in tagger.prepare(Image.new("RGB", (8, 8)), picture).prompt


def test_answers_end_after_so_many_tokens(build: Callable[[str], Path]) -> None:
    tagger = opened(build("blip2"), max_new_tokens=11)
    (described,) = tagger.describe([tagger.prepare(Image.new("RGB", (8, 8)), CAT)])
    assert len(described.text.replace(" ", "")) <= 11


def test_scores_go_where_the_caption_page_looks(build: Callable[[str], Path], make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2)
    assert run(build("scorer"), folder) == Counts(written=2)
    assert not list(folder.glob("*.txt"))
    rows = find(TaggingConfig(folders=[str(folder)]))
    with Index(paths.cache_dir()) as index:
        known = index.find(Score, [(str(each.path), each.stamp) for each in rows])
    assert [round(known[str(each.path)].score, 3) for each in rows] == [0.881, 0.881]
    assert run(build("scorer"), folder) == Counts(skipped=2)
    assert run(build("scorer"), folder, on_existing="overwrite") == Counts(written=2)


def test_a_regression_gives_its_number_and_labels_say_what_is_good(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    number = opened(tiny_captioners.scorer(tmp_path / "one", ("score",)))
    assert number.describe([number.prepare(image, CAT)])[0].rating == pytest.approx(5.0)
    turned = opened(tiny_captioners.scorer(tmp_path / "two", ("hq", "lq")))
    assert turned.describe([turned.prepare(image, CAT)])[0].rating == pytest.approx(0.119, abs=1e-3)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_embeddings_are_unit_vectors_in_the_index(
    build: Callable[[str], Path], make_pictures: MakePictures, name: str
) -> None:
    folder = make_pictures(a=1, b=250)
    assert run(build(name), folder) == Counts(written=2)
    rows = find(TaggingConfig(folders=[str(folder)]))
    with Index(paths.cache_dir()) as index:
        known = index.find(Embedding, [(str(each.path), each.stamp) for each in rows])
    vectors = [np.frombuffer(known[str(each.path)].vector, "<f2").astype(np.float32) for each in rows]
    assert all(np.linalg.norm(vector) == pytest.approx(1, abs=2e-3) for vector in vectors)
    assert {each.model for each in known.values()} == {f"tiny-{name}"}
    assert run(build(name), folder) == Counts(skipped=2)
    assert Findings("another", "embedding").unknown(rows) == rows


def test_what_cannot_be_is_told_in_words(build: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        opened(build("llava"), quantization="4bit")
    assert caught.value.problem.code == "captioner_four_bits"
    with pytest.raises(UserError) as caught:
        load(files.at(build("llava")), TaggingConfig(device="directml"))
    # It is torch that has to be another one, not onnxruntime.
    assert caught.value.problem.code == "device_missing" and "cpu" in caught.value.problem.params["found"]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text('{"model_type": "llava"}')
    (tmp_path / "bad" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError) as caught:
        opened(tmp_path / "bad")
    assert caught.value.problem.code == "tagger_damaged"


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json"])
def test_a_file_that_is_missing_is_named(build: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(build("llava"), tmp_path / "llava"))
    (folder / name).unlink()
    with pytest.raises(UserError) as caught:
        opened(folder)
    assert (caught.value.problem.code, caught.value.problem.params["missing"]) == ("tagger_incomplete", name)


def test_the_kind_of_a_folder_is_read_from_its_configuration(build: Callable[[str], Path]) -> None:
    kinds = {name: files.at(build(name)).model.kind for name in ("llava", "scorer", "clip", "siglip")}
    assert kinds == {"llava": "captioner", "scorer": "scorer", "clip": "embedding", "siglip": "embedding"}
