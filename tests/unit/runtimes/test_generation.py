"""Generation: prompts through each family's processor, and answers that do not depend on who shares their batch."""

from types import SimpleNamespace

import pytest
import tiny_models as tiny
import tiny_tokenizers
import torch
from PIL import Image
from transformers import LlamaConfig

from bitbudget.errors import UserError
from bitbudget.models import checkpoint, readers
from bitbudget.models.audit import checkpoint_audit
from bitbudget.runtimes.transformers import generation


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("snapshots")
    return {name: make(folder / name) for name, (make, _) in tiny.MAKERS.items()}


@pytest.fixture(scope="module")
def llava(snapshots):
    """Model and processor in float32."""
    model = checkpoint.load_original(snapshots["llava"], tiny.LLAVA, "float32")
    return model, generation.load_processor(snapshots["llava"])


def picture(number):
    size = [(40, 30), (100, 200), (33, 64), (64, 33)][number % 4]
    return Image.linear_gradient("L").rotate(37 * number).resize(size).convert("RGB")


def ask(model, processor, family, texts, first=0, tokens=12):
    pictures = [[picture(first + number)] for number in range(len(texts))]
    inputs = generation.prepare(processor, family, pictures, texts, "cpu", model.dtype)
    return generation.answer(model, processor, inputs, generation.decoding(model, processor, tokens))


@pytest.mark.parametrize("name", tiny.MAKERS)
def test_every_family_goes_from_snapshot_to_audited_answers(snapshots, tmp_path, name):
    family = tiny.MAKERS[name][1]
    asked = {"language": "bnb-int8"}
    folder = tiny.make_checkpoint(snapshots[name], tmp_path, family, "float32", **asked)
    model = checkpoint.load(folder, family, "cpu")
    original = checkpoint.load_original(snapshots[name], family, "float32")
    layers = checkpoint_audit.audit_layers(model, original, family, tiny.assignment(family, "float32", **asked), "cpu")
    checkpoint_audit.refuse_faults(name, layers, checkpoint_audit.other_parameters(model, original, family, layers))
    texts = ["What?", "Describe the image in one sentence.", "And what is this here?"]
    answers = ask(model, generation.load_processor(folder), family, texts, tokens=6)
    assert len(answers) == 3
    assert all(0 < answer.new_tokens <= 6 for answer in answers)
    alone = [ask(model, generation.load_processor(folder), family, [t], k, tokens=6)[0] for k, t in enumerate(texts)]
    assert [a.prompt_tokens for a in answers] == [a.prompt_tokens for a in alone]


@pytest.mark.parametrize("name", tiny.MAKERS)
def test_answers_are_the_same_alone_and_in_a_batch_of_16_in_float32(snapshots, name):
    family = tiny.MAKERS[name][1]
    model = checkpoint.load_original(snapshots[name], family, "float32")
    processor = generation.load_processor(snapshots[name])
    texts = ["What is it" + "?" * (5 * number % 17) for number in range(16)]
    together = ask(model, processor, family, texts, tokens=8)
    alone = [ask(model, processor, family, [text], number, tokens=8)[0] for number, text in enumerate(texts)]
    assert together == alone
    assert len({answer.text for answer in alone}) > 3, "the model answers every picture alike"
    assert len({answer.prompt_tokens for answer in alone}) > 3


@pytest.mark.parametrize("name", ["qwen2-vl", "idefics3"])
def test_processors_load_as_real_snapshots_have_them_without_torchvision(snapshots, name):
    """Qwen2-VL's wants a video processor, which only torchvision has."""
    from transformers.utils import is_torchvision_available

    processor = generation.load_processor(snapshots[name])
    assert processor.tokenizer.padding_side == "left"
    assert "im_start" in processor.chat_template
    assert type(processor.image_processor).__name__.endswith("Pil") is not is_torchvision_available()


def test_pixel_limits_of_a_snapshot_are_kept(snapshots):
    processor = generation.load_processor(snapshots["qwen2-vl"])
    inputs = generation.prepare(processor, tiny.QWEN, [[Image.new("RGB", (640, 480))]], ["What?"], "cpu", torch.float32)
    _, height, width = inputs["image_grid_thw"][0].tolist()
    assert height * 14 * width * 14 <= 84 * 84


def test_a_processor_that_needs_a_missing_package_is_one_sentence(snapshots, monkeypatch):
    class Needy:
        @staticmethod
        def from_pretrained(*_, **__):
            raise ImportError("\nPackage `num2words`\nis required. Install it with `pip install num2words`.\n")

    monkeypatch.setattr(readers, "_processor_class", lambda *_: Needy)
    with pytest.raises(UserError, match="package num2words, which is not installed: run `pip install num2words`,"):
        generation.load_processor(snapshots["llava"])


def test_a_template_that_takes_no_examples_is_one_sentence(snapshots):
    processor = generation.load_processor(snapshots["llava"])
    processor.chat_template = (
        "{% if messages | length > 1 %}{{ raise_exception('one question only') }}{% endif %}"
        "<image>{{ messages[0]['content'][1]['text'] }}"
    )
    generation.prepare(processor, tiny.LLAVA, [[picture(0)]], ["Hm?"], "cpu", torch.float32)
    shots = [generation.Example(picture(1), "What?", "This.")]
    sentence = r"cannot write a question after 1 examples \(one question only\): ask for fewer shots, or for none\.$"
    with pytest.raises(UserError, match=sentence):
        generation.prepare(processor, tiny.LLAVA, [[picture(0)]], ["Hm?"], "cpu", torch.float32, shots)


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path):
    tiny.qwen2_vl(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"pad_token": "<|endoftext|>"', '"pad_token": null'))
    assert generation.load_processor(tmp_path).tokenizer.pad_token == "<|im_end|>"


def test_a_tokenizer_is_what_its_own_file_says_whatever_its_class(tmp_path):
    """transformers would build GPT-2's from SmolLM2's vocabulary, and its digits would join."""
    from transformers import AutoTokenizer

    tiny_tokenizers.smollm(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    tokenizer = generation.load_tokenizer(tmp_path)
    assert tokenizer.tokenize("the 12") == ["the", "Ġ", "1", "2"]
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", "<|endoftext|>")
    assert AutoTokenizer.from_pretrained(tmp_path).tokenize("the 12") == ["the", "Ġ12"], "no longer needed"


def test_a_tokenizer_without_a_file_of_its_own_is_built_from_vocabulary_and_merges(tmp_path):
    """As facebook/opt-125m has them; only its settings say that it begins texts with `</s>`."""
    tokenizer = generation.load_tokenizer(tiny.opt(tmp_path))
    assert tokenizer.convert_ids_to_tokens(tokenizer("the cat").input_ids) == ["</s>", "the", "Ġcat"]
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", "<pad>")


def test_a_folder_without_a_tokenizer_is_one_sentence(tmp_path):
    """transformers would make one of the settings alone, which knows no letter."""
    tiny_tokenizers.opt(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "opt"}')
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(
        UserError,
        match=r" has neither a tokenizer\.json nor a vocab\.json with a merges\.txt nor a tokenizer\.model",
    ):
        generation.load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", tiny.TEXT_MAKERS)
def test_every_text_family_goes_from_snapshot_to_audited_checkpoint(tmp_path, name):
    make, family = tiny.TEXT_MAKERS[name]
    source = make(tmp_path / "source")
    asked = {"language": "bnb-int8", "head": "bnb-int8"}
    folder = tiny.make_checkpoint(source, tmp_path / "made", family, "float32", **asked)
    model = checkpoint.load(folder, family, "cpu")
    original = checkpoint.load_original(source, family, "float32")
    layers = checkpoint_audit.audit_layers(model, original, family, tiny.assignment(family, "float32", **asked), "cpu")
    checkpoint_audit.refuse_faults(name, layers, checkpoint_audit.other_parameters(model, original, family, layers))
    assert (
        generation.load_tokenizer(folder)("the cat").input_ids == generation.load_tokenizer(source)("the cat").input_ids
    )


@pytest.mark.parametrize("name", tiny.MAKERS)
def test_prompts_are_padded_on_the_left_and_begin_once(snapshots, name):
    family = tiny.MAKERS[name][1]
    processor = generation.load_processor(snapshots[name])
    inputs = generation.prepare(
        processor, family, [[picture(0)], [picture(0)]], ["Hm?", "Much longer?"], "cpu", torch.float16
    )
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    assert mask[0].tolist() == sorted(mask[0].tolist()), "padding comes first"
    assert (mask[1] == 1).all()
    assert len({int(mask[row].sum()) for row in (0, 1)}) == 2
    begin = processor.tokenizer.bos_token_id
    assert begin is None or (ids[1][:2] == begin).tolist() == [True, False]
    assert inputs["pixel_values"].dtype == torch.float16
    assert not ids.is_floating_point()


def examples(count):
    """Worked examples whose pictures differ from those of any question here."""
    return [generation.Example(picture(50 + k), f"What is number {k}?", "abc"[k % 3]) for k in range(count)]


@pytest.mark.parametrize("name", tiny.MAKERS)
def test_few_shot_prompts_carry_the_examples_pictures_before_the_question(snapshots, name):
    family = tiny.MAKERS[name][1]
    processor = generation.load_processor(snapshots[name])
    shots = examples(4)
    few = generation.prepare(processor, family, [[picture(0)]], ["Hm?"], "cpu", torch.float32, shots)
    texts = [processor.apply_chat_template(family.conversation(1, "Hm?", [(s.asked, s.answer) for s in shots]))]
    words = processor.batch_decode(few["input_ids"], skip_special_tokens=True)[0]
    places = [words.index(f"number {k}") for k in range(4)]
    assert places == sorted(places) and words.index("Hm?") > places[-1], texts
    alone = [
        generation.prepare(processor, family, [[one]], ["Hm?"], "cpu", torch.float32)["pixel_values"]
        for one in (*(shot.image for shot in shots), picture(0))
    ]
    # Idefics3 has the pictures of an item side by side [items, pictures, …], the others one after the other
    shown = few["pixel_values"].flatten(0, 1) if name == "idefics3" else few["pixel_values"]
    own = [one.flatten(0, 1) if name == "idefics3" else one for one in alone]
    assert torch.equal(shown, torch.cat(own)), "pictures are not in the order of the conversation"


@pytest.mark.parametrize("name", tiny.MAKERS)
def test_few_shot_answers_are_the_same_alone_and_in_a_batch_in_float32(snapshots, name):
    family = tiny.MAKERS[name][1]
    model = checkpoint.load_original(snapshots[name], family, "float32")
    processor = generation.load_processor(snapshots[name])
    how = generation.decoding(model, processor, 6)
    texts = ["Hm?", "What is this here?", "And?"]

    def answers(numbers):
        pictures, asked = [[picture(k)] for k in numbers], [texts[k] for k in numbers]
        inputs = generation.prepare(processor, family, pictures, asked, "cpu", torch.float32, examples(2))
        return generation.answer(model, processor, inputs, how)

    assert answers([0, 1, 2]) == [answers([k])[0] for k in range(3)]


def test_a_question_takes_its_place_in_the_prompt():
    assert generation.asked({"question": "Why {x}?"}, "{question} Be short.") == "Why {x}? Be short."
    assert generation.asked({"question": None}, "Describe the image.") == "Describe the image."


def test_a_prompt_beyond_the_models_positions_is_one_sentence(llava):
    model, processor = llava
    limit = model.config.get_text_config().max_position_embeddings
    how = generation.decoding(model, processor, 12)
    fits = {"input_ids": torch.zeros(1, limit - 12, dtype=torch.long)}
    generation.check_length(model, fits, how)
    with pytest.raises(
        UserError, match=f"are more than the {limit} positions that the model knows; shorten the prompt"
    ):
        generation.check_length(model, {"input_ids": torch.zeros(1, limit - 11, dtype=torch.long)}, how)


class Scripted:
    """A model that writes these rows of tokens after any prompt."""

    config = LlamaConfig()

    def __init__(self, *rows):
        self.rows = torch.tensor(rows)

    def generate(self, input_ids, **_):
        return torch.cat([input_ids, self.rows], dim=1)


def answers_of(processor, ends, *rows):
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])[: len(rows)]
    inputs = {"input_ids": torch.full_like(mask, 7), "attention_mask": mask}
    how = SimpleNamespace(eos_token_id=ends)
    return generation.answer(Scripted(*rows), processor, inputs, how)


def test_an_answer_ends_at_its_first_end_token_and_what_follows_is_padding(llava):
    _, processor = llava
    a, b, c = (processor.tokenizer.convert_tokens_to_ids(letter) for letter in "abc")
    stopped, cut = answers_of(processor, 2, [a, b, 2, 0, 0], [a, b, c, a, b])
    assert stopped == generation.Answer("ab", prompt_tokens=2, new_tokens=3, finish="stop")
    assert cut == generation.Answer("abcab", prompt_tokens=3, new_tokens=5, finish="length")


def test_an_answer_that_ends_at_the_limit_is_stopped_and_an_empty_one_has_one_token(llava):
    _, processor = llava
    a = processor.tokenizer.convert_tokens_to_ids("a")
    last, first = answers_of(processor, [2, 1], [a, a, 1], [2, 2, 2])
    assert last == generation.Answer("aa", 2, 3, "stop")
    assert first == generation.Answer("", 3, 1, "stop")


def test_padding_with_the_end_token_does_not_lengthen_an_answer(llava):
    _, processor = llava
    a = processor.tokenizer.convert_tokens_to_ids("a")
    assert answers_of(processor, 2, [a, 2, 2, 2])[0].new_tokens == 2


def test_a_minimum_of_tokens_is_met_exactly(llava):
    model, processor = llava
    inputs = generation.prepare(processor, tiny.LLAVA, [[picture(1)]] * 2, ["a", "bb"], "cpu", torch.float32)
    out = model.generate(**inputs, generation_config=generation.decoding(model, processor, 9, 9))
    assert out.shape[1] - inputs["input_ids"].shape[1] == 9


SETTINGS = {
    "do_sample": True, "temperature": 5.0, "top_k": 5, "top_p": 0.5, "repetition_penalty": 3.0,
    "no_repeat_ngram_size": 1, "num_beams": 4, "suppress_tokens": list(range(100, 180)), "forced_eos_token_id": 60,
}  # fmt: skip


def test_settings_of_a_checkpoints_own_generation_config_are_not_used(snapshots, tmp_path):
    """Qwen2.5-VL's has a repetition penalty, which `generate` would take from the model without a word."""
    from transformers import GenerationConfig

    source = tiny.llava(tmp_path / "source")
    plain = checkpoint.load(tiny.make_checkpoint(source, tmp_path / "plain", tiny.LLAVA), tiny.LLAVA, "cpu")
    GenerationConfig(**SETTINGS, eos_token_id=[2, 90], pad_token_id=0).save_pretrained(source)
    folder = tiny.make_checkpoint(source, tmp_path / "set", tiny.LLAVA)
    model = checkpoint.load(folder, tiny.LLAVA, "cpu")
    processor = generation.load_processor(folder)
    how = generation.decoding(model, processor, 12)
    assert how.eos_token_id == [2, 90], "which tokens end an answer is the model's own"
    model.generation_config.eos_token_id = 2
    texts = [f"What {number}?" for number in range(6)]
    assert ask(model, processor, tiny.LLAVA, texts) == ask(plain, processor, tiny.LLAVA, texts)


def test_a_model_that_does_not_say_how_it_ends_takes_the_tokenizers_word(llava):
    _, processor = llava
    silent = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=None))
    assert generation.decoding(silent, processor, 5).eos_token_id == [processor.tokenizer.eos_token_id]


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(UserError, match=r"broken\.jpg cannot be decoded"):
        generation.open_image(path)


def test_images_are_rgb(tmp_path):
    Image.new("LA", (5, 4), (10, 128)).save(tmp_path / "grey.png")
    assert generation.open_image(tmp_path / "grey.png").mode == "RGB"
