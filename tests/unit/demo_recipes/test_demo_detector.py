"""The demo detector's lesson: it learns from pictures as the workflow prepares them, and from true boxes."""

from __future__ import annotations

import pytest
import torch
from transformers import YolosForObjectDetection

from bitbudget.datasets.demo import scenes
from bitbudget.models.families import yolos
from bitbudget.runtimes.litert.preprocessing import prepare
from checkouts import ROOT
from demo_recipes import detector
from demo_recipes.pictures import FIRST_TRAINING_SEED, training_picture


@pytest.fixture(scope="module")
def processor():
    return detector.build_processor()


def test_a_lesson_shows_pictures_as_the_detector_is_given_them(processor) -> None:
    model = detector.build_model()
    found = yolos.detector(model.config.to_dict(), processor.to_dict())
    assert found["input"]["size"] == [detector.IMAGE_SIDE] * 2
    assert found["classes"] == {"ids": "names", "names": list(scenes.SHAPES)}
    picture = training_picture(FIRST_TRAINING_SEED)[1]
    given, _ = prepare(picture, found["input"])
    lesson = detector.pixels_of(processor, [picture])
    assert torch.allclose(torch.from_numpy(given).permute(0, 3, 1, 2), lesson, atol=1e-6)


def test_labels_are_the_boxes_of_the_data_set() -> None:
    scene = scenes.make_scene(5)
    width, height = scenes.size_of(scene, 800)
    label = detector.labels_of(scene)
    for shape, kind, box in zip(scene.shapes, label["class_labels"], label["boxes"], strict=True):
        assert scenes.SHAPES[kind] == shape.shape
        x, y, w, h = scenes.box_of(shape, width, height)
        wanted = torch.tensor([(x + w / 2) / width, (y + h / 2) / height, w / width, h / height])
        assert torch.allclose(box, wanted, atol=2e-3)


def test_each_object_has_a_token_of_its_own_near_it() -> None:
    labels = [detector.labels_of(scenes.make_scene(seed)) for seed in range(40)]
    crowded = {"class_labels": torch.zeros(3, dtype=torch.long), "boxes": torch.tensor([[0.5, 0.5, 0.1, 0.1]] * 3)}
    rows, places, kinds, boxes = detector.assigned([*labels, crowded])
    assert len(rows) == len(kinds) == len(boxes) == sum(len(label["boxes"]) for label in labels) + 3
    assert len(set(zip(rows.tolist(), places.tolist(), strict=True))) == len(rows)
    side = detector.TOKENS_A_SIDE
    for place, box in zip(places[:-3].tolist(), boxes[:-3], strict=True):
        assert abs((place % side + 0.5) / side - box[0]) < 1.6 / side
        assert abs((place // side + 0.5) / side - box[1]) < 1.6 / side


def test_a_step_teaches_every_part_of_the_model(processor) -> None:
    torch.manual_seed(0)
    model = detector.build_model().train()
    shown = [training_picture(FIRST_TRAINING_SEED + k) for k in range(2)]
    pixels = detector.pixels_of(processor, [picture for _, picture in shown])
    detector.Lesson(model)((pixels, [detector.labels_of(scene) for scene, _ in shown])).backward()
    untaught = [name for name, value in model.named_parameters() if value.grad is None]
    assert untaught == []


def test_overlap_of_boxes() -> None:
    box = torch.tensor([0.5, 0.5, 0.2, 0.2])
    assert detector._iou(box, box) == pytest.approx(1)
    assert detector._iou(box, box + torch.tensor([0.1, 0, 0, 0])) == pytest.approx(1 / 3)
    assert detector._iou(box, box + torch.tensor([0.5, 0, 0, 0])) == 0


def test_the_trained_model_is_the_one_of_the_recipe(processor) -> None:
    folder = ROOT / "demo/models/demo-detector"
    trained = YolosForObjectDetection.from_pretrained(folder, dtype=torch.float32)
    made = {name: value.shape for name, value in detector.build_model().state_dict().items()}
    assert {name: value.shape for name, value in trained.state_dict().items()} == made
    assert detector.held_out(trained, processor, count=60)["found_at_0.5"] > 0.7
