"""Questions about demo scenes with the answers of ten made-up annotators, in the manner of VQA v2.

Half of the yes/no questions are answered yes, and no kind of question has one answer that is mostly right: whoever does
not look at the picture stays far below one who does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product

from bitbudget.datasets.demo.scenes import BACKGROUNDS, COLOURS, OPPOSITE, SHAPES, Scene, Shape
from bitbudget.datasets.demo.signs import WORDS

NUMBERS = ("0", "1", "2", "3")
ANNOTATORS = 10


@dataclass(frozen=True)
class Question:
    """One question. `others` are wrong answers that an inattentive annotator might give."""

    text: str
    answer: str
    question_type: str  # the question's first words, as VQA v2 has it
    answer_type: str  # yes/no, number or other
    others: tuple[str, ...]


def ask(scene: Scene, rng: random.Random, kind: str | None = None) -> Question:
    """A question about the scene: of this kind, or of one that the scene admits.

    Kinds: `color`, `shape`, `count`, `yes/no`, `word`. Raises `ValueError` for a kind that the scene does not admit.
    """
    if kind is None:
        kind = rng.choice(kinds(scene))
    if kind not in kinds(scene):
        raise ValueError(f"scene {scene.seed} admits no question of kind {kind!r}")
    return {"color": _colour, "shape": _shape, "count": _count, "yes/no": _yes_no, "word": _word}[kind](scene, rng)


def kinds(scene: Scene) -> list[str]:
    """The kinds of questions that the scene admits."""
    return ["color", "shape", "count", "yes/no"] + (["word"] if scene.sign else [])


def annotate(question: Question, rng: random.Random) -> list[str]:
    """Ten answers: mostly the true one, a wrong one or none from up to three annotators."""
    strays = rng.choice((0, 0, 0, 1, 1, 2, 3))
    answers = [question.answer] * (ANNOTATORS - strays) + [rng.choice(question.others) for _ in range(strays)]
    rng.shuffle(answers)
    return answers


def _single(scene: Scene, of: str) -> list[Shape]:
    """The shapes that share the attribute `of` (colour or shape) with no other."""
    values = [getattr(shape, of) for shape in scene.shapes]
    return [shape for shape in scene.shapes if values.count(getattr(shape, of)) == 1]


def _colour(scene: Scene, rng: random.Random) -> Question:
    single = _single(scene, "shape")
    if not single or rng.random() < 0.12:
        others = tuple(name for name in BACKGROUNDS if name != scene.background)
        return Question("What color is the background?", scene.background, "what color is the", "other", others)
    it = rng.choice(single)
    others = tuple(name for name in COLOURS if name != it.colour)
    return Question(f"What color is the {it.shape}?", it.colour, "what color is the", "other", others)


def _shape(scene: Scene, rng: random.Random) -> Question:
    asked = [(f"What shape is {it.colour}?", it) for it in _single(scene, "colour")]
    if len(scene.shapes) == 1:
        asked.append(("What shape is shown?", scene.shapes[0]))
    elif scene.relation == "above":
        asked.append(("What shape is at the top?", scene.shapes[0]))
        asked.append(("What shape is at the bottom?", scene.shapes[-1]))
    else:
        asked.append(("What shape is on the left?", scene.shapes[0]))
        asked.append(("What shape is on the right?", scene.shapes[-1]))
    text, it = rng.choice(asked)
    others = tuple(name for name in SHAPES if name != it.shape)
    return Question(text, it.shape, "what shape is", "other", others)


def _count(scene: Scene, rng: random.Random) -> Question:
    if rng.random() < 0.6:
        text, number = "How many shapes are there?", len(scene.shapes)
    else:
        # the colour of a shape, or else of none: 0 is as good an answer as any
        colour = rng.choice([it.colour for it in scene.shapes] if rng.random() < 0.6 else list(COLOURS))
        text, number = f"How many {colour} shapes are there?", sum(it.colour == colour for it in scene.shapes)
    others = tuple(name for name in NUMBERS if name != str(number))
    return Question(text, str(number), "how many", "number", others)


def _yes_no(scene: Scene, rng: random.Random) -> Question:
    wanted = rng.random() < 0.5
    two = scene.relation is not None and scene.shapes[0].shape != scene.shapes[1].shape
    form = rng.choice(("there", "there", "color", "size") + (("relation",) if two else ()))
    single = _single(scene, "shape")
    if form == "relation":
        first, second = scene.shapes
        words = scene.relation if wanted else OPPOSITE[scene.relation]
        if rng.random() < 0.5:  # asked from the other shape's side
            first, second, words = second, first, OPPOSITE[words]
        return _said(f"Is the {first.shape} {words} the {second.shape}?", wanted, "is the")
    if form != "there" and single:
        it = rng.choice(single)
        known = tuple(COLOURS) if form == "color" else ("small", "large")
        true = it.colour if form == "color" else it.size
        word = true if wanted else rng.choice([name for name in known if name != true])
        return _said(f"Is the {it.shape} {word}?", wanted, "is the")
    pairs = {(it.colour, it.shape) for it in scene.shapes}
    if wanted:
        colour, shape = rng.choice(sorted(pairs))
    else:  # half of the time with the colour or the shape of one that is there
        absent = [pair for pair in product(COLOURS, SHAPES) if pair not in pairs]
        near = [pair for pair in absent if any((pair[0] == c) != (pair[1] == s) for c, s in pairs)]
        colour, shape = rng.choice(near if rng.random() < 0.7 else absent)
    article = "an" if colour[0] in "aeiou" else "a"
    return _said(f"Is there {article} {colour} {shape}?", wanted, "is there")


def _said(text: str, wanted: bool, question_type: str) -> Question:
    return Question(text, "yes" if wanted else "no", question_type, "yes/no", ("no" if wanted else "yes",))


def _word(scene: Scene, rng: random.Random) -> Question:
    text = rng.choice(("What does the sign say?", "What word is on the sign?"))
    others = tuple(word for word in WORDS if word != scene.sign.word)
    return Question(text, scene.sign.word, " ".join(text.split()[:2]).lower(), "other", others)
