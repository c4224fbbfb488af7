"""Types of many kinds are asked: with and without a chat template, by decoders and encoders, in few tokens."""

import pytest
import tiny_models as tiny
import tiny_seeing
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.measuring import flops, phases
from bitbudget.models import checkpoint, readers, snapshots
from bitbudget.models.asking import forms, image_tokens
from bitbudget.models.audit import checkpoint_audit
from bitbudget.runtimes.transformers import generation

AUTO = registry.module_of("family", "auto-vision")
TEXTS = ["What?", "Describe the image in one sentence.", "And now?"]
FLOAT32 = ("cpu", torch.float32)
# Fuyu's image processor fails without torchvision, and GOT-OCR's images are of 1024 pixels in any case.
ASKED = [name for name in tiny_seeing.TYPES if name not in ("fuyu", "got_ocr2")]
TRACKS = {"blip": "captioning", "pix2struct": "captioning"}  # nobody knows how these are asked a question


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder, model, processor and form of each kind, made when it is asked for."""
    folder, found = tmp_path_factory.mktemp("kinds"), {}

    def one(name):
        if name not in found:
            place = tiny_seeing.make(name, folder / name)
            model = AutoModelForImageTextToText.from_pretrained(place).eval().requires_grad_(False)
            processor = readers.load_processor(place)
            given = "{image}{question}" if name == "deepseek_vl" else None
            track = TRACKS.get(name, "vqa")
            form = forms.choose(processor, model.config.model_type, track, given, place)
            found[name] = place, model, processor, form
        return found[name]

    return one


def pictures(sizes=((40, 30), (100, 200), (33, 64))):
    return [[Image.linear_gradient("L").rotate(37 * k).resize(size).convert("RGB")] for k, size in enumerate(sizes)]


@pytest.mark.parametrize("name", ASKED)
def test_a_batch_is_answered_as_each_item_alone_and_in_the_tokens_that_were_asked(made, name):
    _, model, processor, form = made(name)
    how = generation.decoding(model, processor, 6)

    def ask(shown, texts):
        inputs = generation.prepare(processor, AUTO, shown, texts, *FLOAT32, form=form)
        return generation.answer(model, processor, inputs, how)

    together = ask(pictures(), TEXTS)
    assert together == [ask([shown], [text])[0] for shown, text in zip(pictures(), TEXTS, strict=True)]
    assert all(0 < one.new_tokens <= 6 for one in together)
    inputs = generation.prepare(processor, AUTO, pictures()[:1], TEXTS[:1], *FLOAT32, form=form)
    exactly = generation.decoding(model, processor, 5, 5)
    out = generation.written(model, inputs, model.generate(**inputs, generation_config=exactly))
    assert out.shape == (1, 5)

    def generate(given):
        model.generate(**given, generation_config=exactly)

    timed = phases.PhaseTimer(model, (), "cpu").time(lambda: inputs, generate)
    assert (timed.decoded_tokens, timed.prompt_tokens) == (4, together[0].prompt_tokens)
    counted = flops.count(model, (), lambda: generate(inputs))
    assert counted.prefill > 0 and counted.decode > 0


@pytest.mark.parametrize("name", ASKED)
def test_a_snapshot_of_each_kind_is_whole(made, name):
    snapshots.check(made(name)[0], AUTO, templated=name == "deepseek_vl")


def test_smolvlm_goes_from_snapshot_to_audited_answers_without_torchvision_and_num2words(made, tmp_path):
    place, _, processor, form = made("smolvlm")
    idefics = tiny.IDEFICS
    folder = tiny.make_checkpoint(place, tmp_path / "checkpoint", idefics, "float32", language="bnb-int8")
    model, original = checkpoint.load(folder, idefics, "cpu"), checkpoint.load_original(place, idefics, "float32")
    assignment = tiny.assignment(idefics, "float32", language="bnb-int8")
    layers = checkpoint_audit.audit_layers(model, original, idefics, assignment, "cpu")
    checkpoint_audit.refuse_faults("it", layers, checkpoint_audit.other_parameters(model, original, idefics, layers))
    inputs = generation.prepare(readers.load_processor(folder), AUTO, pictures(), TEXTS, *FLOAT32, form=form)
    answers = generation.answer(model, processor, inputs, generation.decoding(model, processor, 4))
    assert [one.image_tokens for one in answers] == [13 * 4, 9 * 4, 13 * 4]


# --- forms


@pytest.mark.parametrize(("name", "track", "prompt"), [
    ("paligemma", "vqa", "<image>answer en What is it?"),
    ("paligemma", "captioning", "<image>caption en"),
    ("blip-2", "vqa", "Question: What is it? Answer:"),
    ("blip-2", "captioning", "a photo of"),
    ("git", "vqa", "[CLS]What is it?"),
    ("florence2", "captioning", "<CAPTION>"),
])  # fmt: skip
def test_models_without_a_chat_template_are_asked_as_their_cards_say(made, name, track, prompt):
    place, model, processor, _ = made(name)
    form = forms.choose(processor, model.config.model_type, track, None, place)
    assert form.by == forms.KNOWN
    assert forms.write(form, processor, AUTO, 1, "What is it?") == prompt


def test_the_models_file_has_the_last_word_and_examples_take_its_form(made):
    place, _, processor, _ = made("smolvlm")
    form = forms.choose(processor, "smolvlm", "vqa", "{image}Q: {question} A:", place)
    prompt = forms.write(form, processor, AUTO, 1, "Now?", [("Then?", "yes")])
    assert prompt == "<image>Q: Then? A: yes\n\n<image>Q: Now? A:"


def test_a_template_shows_the_image_unless_the_processor_places_it(made):
    place, _, processor, _ = made("smolvlm")
    with pytest.raises(
        UserError, match=r"does not contain \{image\}, so the model would never see the image: add it\.$"
    ):
        forms.choose(processor, "smolvlm", "vqa", "Q: {question} A:", place)
    assert forms.choose(processor, "smolvlm", "vqa", "<image>{question}", place).template == "<image>{question}"
    place, _, processor, _ = made("git")
    assert forms.choose(processor, "git", "vqa", "Q: {question}", place).template == "Q: {question}"


def test_a_model_that_nobody_knows_how_to_ask_is_one_sentence(made, tmp_path):
    place, _, processor, _ = made("git")
    with pytest.raises(UserError, match="nothing is known of how models of the type odd are asked: set `prompt_templ"):
        forms.choose(processor, "odd", "vqa", None, place)
    tiny.llava(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=f"{tmp_path} has no chat template, .* set `prompt_template` of the model"):
        snapshots.check(tmp_path, tiny.LLAVA)
    snapshots.check(tmp_path, tiny.LLAVA, templated=True)


def test_a_type_known_in_another_track_only_is_one_sentence(made):
    place, _, processor, _ = made("git")
    with pytest.raises(UserError, match=r"models of the type pix2struct are asked in the track vqa: set"):
        forms.choose(processor, "pix2struct", "vqa", None, place)


def test_examples_need_a_processor_that_takes_several_images(made):
    _, _, processor, form = made("blip-2")
    with pytest.raises(UserError, match="takes one image alone, so no examples can stand before it"):
        forms.write(form, processor, AUTO, 1, "Now?", [("Then?", "yes")])


@pytest.mark.parametrize("name", ["paligemma", "florence2", "smolvlm"])
def test_questions_stay_text_in_a_prompt_template(made, name):
    """What a question spells is neither an image, nor a task of Florence-2's, nor an end."""
    _, _, processor, _ = made(name)
    form = forms.Form(forms.ENTRY, "{image}{question}")
    spelt = "Is <image> or <CAPTION> or </s> a <loc0001>?"
    spelt, plain = (
        generation.prepare(processor, AUTO, pictures()[:1], [text], *FLOAT32, form=form)["input_ids"]
        for text in (spelt, "Hm?")
    )
    special = set(processor.tokenizer.all_special_ids)
    assert [k for k in spelt[0].tolist() if k in special] == [k for k in plain[0].tolist() if k in special]


@pytest.mark.parametrize(("template", "clause"), [
    ("{image}", "never see the question"),
    ("{question}{question}", "more than once"),
    ("{image}{Question}", r"has the place \{Question\}"),
    ("{images}{question}", r"has the place \{images\}"),
])  # fmt: skip
def test_a_wrong_template_is_a_clause(template, clause):
    assert forms.fault("{image}\n{question}", asks=True) is None
    with pytest.raises(AssertionError, match=clause):
        raise AssertionError(forms.fault(template, asks=True))


# --- image tokens


def tokens_of(made, name, sizes, side=200, most=None, enlarge=False):
    place, model, _, form = made(name)
    processor = readers.load_processor(place)
    done = image_tokens.bound(processor, model.config, AUTO, side, most, enlarge)
    inputs = generation.prepare(processor, AUTO, pictures(sizes), ["?"] * len(sizes), *FLOAT32, form=form)
    return generation.image_tokens(model, inputs), done


SIZES = [(20, 30), (40, 30), (64, 64), (96, 33)]


def test_a_small_picture_gets_no_more_tiles_than_its_longer_side_fills(made):
    """SmolVLM's tiles are 32 pixels wide and the processor's longest edge 128; a tile has 4 tokens."""
    found, done = tokens_of(made, "smolvlm", SIZES)
    assert found == [4 * tiles for tiles in (1, 5, 5, 7)]
    assert done == {"max_tokens": None, "enlarge": False, "tiles": "as many as its longer side fills"}
    assert tokens_of(made, "smolvlm", SIZES, enlarge=True)[0] == [4 * tiles for tiles in (13, 13, 17, 9)]
    assert tokens_of(made, "internvl", SIZES)[0] == [4 * tiles for tiles in (1, 1, 5, 4)]
    assert tokens_of(made, "internvl", SIZES, enlarge=True)[0] == [4 * tiles for tiles in (3, 1, 5, 4)]


@pytest.mark.parametrize("name", ["smolvlm", "internvl", "llava_next", "mistral3"])
def test_the_tokens_of_an_image_are_bounded(made, name):
    free, _ = tokens_of(made, name, [(200, 200), (200, 100), (50, 200)], enlarge=True)
    bound = max(free) - 1
    found, done = tokens_of(made, name, [(200, 200), (200, 100), (50, 200)], most=bound, enlarge=True)
    assert max(found) <= bound and "remark" not in done and done["set"]


def test_the_bounded_model_still_answers(made):
    place, model, _, form = made("llava_next")
    processor = readers.load_processor(place)
    before = model.config.image_grid_pinpoints
    done = image_tokens.bound(processor, model.config, AUTO, 200, 45, False)
    assert model.config.image_grid_pinpoints == done["set"]["image_grid_pinpoints"] != before
    inputs = generation.prepare(processor, AUTO, pictures(), TEXTS, *FLOAT32, form=form)
    assert generation.answer(model, processor, inputs, generation.decoding(model, processor, 3))
    model.config.image_grid_pinpoints = before


def test_a_bound_that_cannot_be_kept_is_a_remark(made):
    assert (
        tokens_of(made, "blip-2", SIZES, most=2)[1]["remark"]
        == "Blip2Processor has no setting for the tokens of an image"
    )
    assert "needs 4 tokens for an image at its least" in tokens_of(made, "internvl", SIZES, most=3)[1]["remark"]
