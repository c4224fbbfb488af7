"""Models that see, with a decoder that llama.cpp runs, against the same models run by transformers."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import tiny_seeing
import torch
from PIL import Image, ImageDraw

from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.measuring import context
from bitbudget.measuring.phases import PhaseTimer
from bitbudget.models import checkpoint, group_files
from bitbudget.models.families import parts
from bitbudget.runtimes.llama_cpp import converting, reached
from bitbudget.runtimes.llama_cpp.decoder import Picture
from bitbudget.runtimes.llama_cpp.seeing import SeeingModel
from bitbudget.runtimes.transformers import generation

AUTO = registry.module_of("family", "auto-vision")
MADE = {
    **{name: tiny.MAKERS[name] for name in ("llava", "idefics3", "qwen2-vl")},
    **{name: (lambda folder, name=name: tiny_seeing.make(name, folder), AUTO) for name in ("internvl", "mistral3")},
}


def both(name: str, folder: Path) -> tuple[torch.nn.Module, SeeingModel, Any]:
    """The model by transformers and by llama.cpp, and a batch of pictures of three sizes."""
    make, family = MADE[name]
    source = make(folder / name)
    file = folder / f"{name}.gguf"
    converting.convert(source, checkpoint.original(source, family, "float32"), family, file, "f32")
    model, rest = (checkpoint.load_original(source, family, "float32") for _ in range(2))
    for module in (rest.get_decoder(), rest.get_input_embeddings(), rest.get_output_embeddings()):
        module.to("meta")
    seeing = SeeingModel(file, rest, parts.vision_modules(family, rest), "cpu", exact=True)
    return model, seeing, tiny.inputs_of(source, family)


@pytest.mark.parametrize("name", list(MADE))
def test_logits_and_answers_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    model, seeing, inputs = both(name, tmp_path)
    if name == "qwen2-vl":  # llama.cpp reads no epsilon for this architecture
        for norm in model.get_decoder().modules():
            if hasattr(norm, "variance_epsilon"):
                norm.variance_epsilon = 0.0
    read = inputs["attention_mask"].bool()
    with torch.inference_mode():
        wanted = model(**inputs).logits
    torch.testing.assert_close(seeing(**inputs).logits[read], wanted[read], rtol=0, atol=1e-3)
    torch.testing.assert_close(seeing(**inputs, logits_to_keep=1).logits, wanted[:, -1:], rtol=0, atol=1e-3)
    processor = generation.load_processor(tmp_path / name)
    for least in (0, 7):
        how = generation.decoding(model, processor, 7, least)
        assert generation.answer(seeing, processor, inputs, how) == generation.answer(model, processor, inputs, how)


def test_the_demo_model_answers_as_it_does_by_transformers(tmp_path: Path) -> None:
    source = Path("demo/models/demo-vlm")
    model = checkpoint.load_original(source, tiny.LLAVA, "float32")
    converting.convert(source, checkpoint.original(source, tiny.LLAVA, "float32"), tiny.LLAVA, tmp_path / "f32", "f32")
    processor, pictures = generation.load_processor(source), []
    for number, colour in enumerate(("red", "green", "blue", "yellow")):
        picture = Image.new("RGB", (128, 96), "white")
        ImageDraw.Draw(picture).ellipse((10 + 20 * number, 20, 60 + 20 * number, 70), fill=colour)
        pictures.append([picture])
    asked = ["Describe the image in one sentence.", "What colour is it?"] * 2
    inputs = generation.prepare(processor, tiny.LLAVA, pictures, asked, "cpu", torch.float32)
    how = generation.decoding(model, processor, 16)
    wanted = generation.answer(model, processor, inputs, how)
    seeing = SeeingModel(tmp_path / "f32", model, parts.vision_modules(tiny.LLAVA, model), "cpu")
    assert generation.answer(seeing, processor, inputs, how) == wanted
    assert len({answer.text for answer in wanted}) > 2


def test_the_phases_of_an_answer_are_timed(tmp_path: Path) -> None:
    _, seeing, inputs = both("llava", tmp_path)
    how = generation.decoding(seeing, generation.load_processor(tmp_path / "llava"), 5, 5)
    timer = PhaseTimer(seeing, parts.vision_modules(tiny.LLAVA, seeing), "cpu")
    found = timer.time(lambda: inputs, lambda given: seeing.generate(**given, generation_config=how))
    assert found.decoded_tokens == 4
    assert 0 < found.vision < found.total
    assert found.prefill > 0 and found.decode > 0
    cache = context.cache_memory(
        lambda: seeing.generate(**inputs, generation_config=how, return_dict_in_generate=True), 4, 5
    )
    assert cache["absent"] == "the model does not show its keys and values."


@pytest.mark.parametrize("vision", ["bnb-int8", "ort-float32"])
def test_a_checkpoint_holds_the_decoder_in_one_file_and_pictures_in_their_own_format(
    vision: str, tmp_path: Path
) -> None:
    source, folder = tiny.llava(tmp_path / "llava"), tmp_path / "checkpoint"
    model = checkpoint.original(source, tiny.LLAVA, "float32")
    reading = dict.fromkeys(("language", "embeddings", "head"), "gguf-f16")
    assigned = tiny.assignment(tiny.LLAVA, "float32", **reading, vision=vision)
    layers, tensors = checkpoint.quantize(model, tiny.LLAVA, assigned, "cpu")
    wholes = group_files.make(model, tiny.LLAVA, assigned, source, folder, "cpu", None)
    made = checkpoint.save(
        folder, source, model, tensors, layers, wholes, group_files.parameters(wholes, model.model, tiny.LLAVA)
    )
    files.write_json(folder / checkpoint.MANIFEST, {"dtype": "float32", "device": "cpu", **made})
    loaded = checkpoint.load(folder, tiny.LLAVA, "cpu")
    assert isinstance(loaded, SeeingModel)
    assert {value.device.type for value in loaded.rest.get_decoder().parameters()} == {"meta"}
    inputs = tiny.inputs_of(source, tiny.LLAVA)
    with torch.inference_mode():
        plain = checkpoint.load_original(source, tiny.LLAVA, "float32")(**inputs).logits
    read = inputs["attention_mask"].bool()
    assert (loaded(**inputs).logits - plain)[read].square().mean() < 0.02 * plain[read].var()
    how = generation.decoding(loaded, generation.load_processor(source), 3, 3)
    timer = PhaseTimer(loaded, parts.vision_modules(tiny.LLAVA, loaded), "cpu")
    found = timer.time(lambda: inputs, lambda given: loaded.generate(**given, generation_config=how))
    assert 0 < found.vision < found.total


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("paligemma", "by which tokens see later ones"),
        ("florence2", "reads its prompt with an encoder"),
        ("mllama", "gives its decoder no embeddings"),
        ("git", "gives its decoder no embeddings"),
    ],
)
def test_what_llama_cpp_would_read_otherwise_is_refused(name: str, why: str, tmp_path: Path) -> None:
    source = tiny_seeing.make(name, tmp_path / name)
    with pytest.raises(UserError, match=f"a model of type {name} here, which .*{why}"):
        reached.check(checkpoint.original(source, AUTO, "float32"), AUTO, source)


@contextlib.contextmanager
def diverted(name: str, folder: Path) -> Any:
    source = tiny_seeing.make(name, folder)
    model = checkpoint.load_original(source, AUTO, "float32")
    yield reached.divert(model), tiny.inputs_of(source, AUTO)
    reached.undo(model)
    assert "forward" not in vars(model.get_decoder())


def test_the_image_tokens_of_a_gemma_see_one_another(tmp_path: Path) -> None:
    with diverted("gemma3", tmp_path) as (model, inputs):
        pictures = [run for prompt in reached.runs(model, inputs) for run in prompt if isinstance(run, Picture)]
    assert [(len(one), one.mutual) for one in pictures] == [(4, True)] * 3


def test_what_first_layers_add_to_a_picture_comes_beside_its_embeddings(tmp_path: Path) -> None:
    with diverted("qwen3_vl", tmp_path) as (model, inputs):
        pictures = [run for prompt in reached.runs(model, inputs) for run in prompt if isinstance(run, Picture)]
    assert {one.embeddings.shape[1] for one in pictures} == {2 * 64}
    assert all((one.embeddings[:, 64:] != 0).any() for one in pictures)


def test_places_of_a_picture_go_by_height_and_width(tmp_path: Path) -> None:
    _, seeing, inputs = both("qwen2-vl", tmp_path)
    picture = next(run for run in seeing.prompts(**inputs)[1] if isinstance(run, Picture))
    assert picture.places.tolist() == [[0] * 8, [0, 0, 1, 1, 2, 2, 3, 3], [0, 1] * 4]
    assert picture.span == 4


def test_a_picture_of_no_numbers_is_no_text(tmp_path: Path) -> None:
    _, seeing, inputs = both("llava", tmp_path)
    inputs["pixel_values"][1] = torch.nan
    with pytest.raises(UserError, match="gives no numbers for a picture"):
        seeing.prompts(**inputs)
