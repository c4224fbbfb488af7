"""The demo model's lessons: it is trained on exactly the prompts that the workflow asks it with."""

import random

import pytest
import torch

from bitbudget.datasets.demo import questions, scenes, signs
from bitbudget.models.families import llava
from bitbudget.runtimes.transformers.generation import Example, prepare
from demo_recipes import vlm


@pytest.fixture(scope="module")
def processor():
    made = vlm.build_processor()
    made.tokenizer.padding_side = "left"
    return made


def talk(turns):
    rng = random.Random(turns)
    shown = [vlm.training_picture(5 + k, with_sign=k % 2 == 0) for k in range(turns)]
    return [
        (picture, f"{questions.ask(scene, rng).text} Shortly.", f"answer {k}")
        for k, (scene, picture) in enumerate(shown)
    ]


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_a_lesson_is_the_prompt_of_the_workflow_with_its_answer(turns, processor):
    lesson = talk(turns)
    pixels, ids, labels = vlm.encode(processor, lesson)
    *shots, (picture, text, answer) = lesson
    inputs = prepare(processor, llava, [[picture]], [text], "cpu", torch.float32, [Example(*shot) for shot in shots])
    prompt = inputs["input_ids"][0].tolist()
    assert ids[: len(prompt)] == prompt
    assert processor.tokenizer.decode(ids[len(prompt) :]) == f" {answer}</s>"
    assert torch.equal(torch.stack(pixels), inputs["pixel_values"])
    learnt = [one for one in labels if one != -100]
    assert processor.tokenizer.decode(learnt) == "".join(f" {said}</s>" for _, _, said in lesson)


def test_further_questions_on_a_picture_show_it_once(processor):
    ((picture, text, answer),) = talk(1)
    _, ids, labels = vlm.encode(processor, [(picture, text, answer), (None, "And now?", "no")])
    image = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    assert ids.count(image) == vlm.PATCHES
    assert ids.count(processor.tokenizer.bos_token_id) == 1
    assert sum(one == processor.tokenizer.eos_token_id for one in labels) == 2


def test_batches_repeat_and_hold_the_same_number_of_pictures(processor):
    batches = vlm.Batches(processor, 6, seed=7, captions=0.3, signs=0.4, words=0.0)
    for k in range(6):
        one, again = batches[k], batches[k]
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert vlm.PICTURES - 4 < len(one["pixel_values"]) <= vlm.PICTURES
        assert (one["labels"] != -100).any(1).all()


def test_reading_batches_show_signs_and_ask_for_their_words(processor):
    words = set(signs.WORDS)
    batches = vlm.Batches(processor, 3, seed=8, captions=0.0, signs=0.7, words=0.4)
    said = [processor.tokenizer.decode([i for i in row if i != -100]) for k in range(3) for row in batches[k]["labels"]]
    assert sum(word in words for text in said for word in text.replace("</s>", "").split()) > 20
    assert ((batches[0]["patch_labels"][..., vlm.WORD] > 0).any(1).float().mean()) > 0.5


def test_a_lesson_learns_words_letters_and_answers_at_once(processor):
    model = vlm.build_model(processor.tokenizer)
    reader = vlm.PatchReader(model.model.vision_tower, model.config.vision_config.hidden_size)
    batch = {
        name: value[:4]
        for name, value in vlm.Batches(processor, 9, seed=8, captions=0.0, signs=0.7, words=0.4)[1].items()
    }
    batch["pixel_values"] = batch["pixel_values"][
        : (batch["input_ids"] == model.config.image_token_index).sum() // vlm.PATCHES
    ]
    batch["patch_labels"] = batch["patch_labels"][: len(batch["pixel_values"])]
    vlm.Lesson(model, reader, reading=True)(batch).backward()
    assert all(head.weight.grad.abs().sum() > 0 for head in reader.heads)
    assert model.lm_head.weight.grad.abs().sum() > 0


def test_patches_of_a_sign_are_labelled_with_its_letters():
    scene = next(s for s in (scenes.make_scene(k, with_sign=True) for k in range(99)) if s.sign.word == "bread")
    letters = [vlm.PATCH_LABELS[4][index] for index in vlm.patch_labels(scene)[:, 4]]
    assert set(letters) <= {"", " ", *"bread"}
    assert len(set(letters) & set("bread")) >= 3
    words = {vlm.PATCH_LABELS[3][index] for index in vlm.patch_labels(scene)[:, 3]}
    assert words == {"", "bread"}


def test_a_letter_is_where_it_is_drawn():
    sign = signs.Sign("ice", 0.5, 0.2, dark=False)
    row = [sign.letter_at(x / 100, 0.2) for x in range(100)]
    assert row[0] is row[-1] is None
    assert "".join(dict.fromkeys(letter for letter in row if letter)) == " ice"
    assert sign.letter_at(0.5, 0.2 + signs.HEIGHT) is None
