"""The visual question answering track: an image and a question, one short answer, the answers that people gave.

Importable without any heavy library: the config is checked, and the workflow parsed, with nothing but Python.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from bitbudget.stats import bootstrap

PRIMARY = "vqa_accuracy"  # of a data set that names no other of METRICS
# The prompt that LLaVA-1.5 was trained and evaluated with on short answers (Liu et al. 2023, arXiv 2310.03744).
PROMPT = "{question}\nAnswer the question using a single word or phrase."
RUNTIME = "transformers"
IMAGES = True
FEW_SHOT = True  # conditions are zero-shot, 1-shot, 2-shot …
DEFAULT_PRECISIONS = ("auto", "int8-language", "int8-vision", "int8-language-vision")
FLOOR = "the best answer to each type of question without looking"
RESAMPLED = "images"
ITEM = "question"  # what a model is asked about
RATE = ("throughput", "answers/s")  # the speed that the track is told by: a metric for every batch size, and its unit
FIGURES: tuple[str, ...] = ("quality_by_type",)
# For the paper: what its task's models are made of, what the metrics punish, and what others published.
BACKGROUND = (
    "A vision-language model joins a vision tower, a small projector and a language model [@liu2023llava]. The answer "
    "is a word or two, so the image and the prompt are read once and little is written: encoding and prefill, which "
    "multiply large matrices, hold a larger share of the time than in captioning, and a format that only shrinks the "
    "traffic of weights wins less. Questions about text in an image need fine detail, which the vision tower must "
    "keep.",
)
PUNISHES = {
    "vqa_accuracy": "An answer counts by how many people gave it [@antol2015vqa]: a right answer in other words scores "
    "zero, so a format that changes the wording loses as much as one that errs.",
    "anls": "ANLS forgives a few wrong letters and scores zero once half of them are wrong [@biten2019scenetext], so "
    "small slips of reading cost little and an answer of another length costs all.",
    "relaxed_accuracy": "Relaxed accuracy forgives 5 % of a number and nothing of a word [@masry2022chartqa], so a "
    "misread digit costs all or nothing by its place.",
}
RELATED = (
    "With 4-bit weights of AWQ [@lin2024awq], VILA-1.5-3B is reported to go from 80.4 to 80.0 on VQA v2, from 60.4 to "
    "60.4 on TextVQA and from 53.5 to 53.8 on VizWiz, without intervals, and from 105 to 183 tokens/s on an A100 "
    "[@llmawq]. Kernels decide on speed: LLM.int8() writes 6.0 instead of 25.7 tokens/s on a T4 (Qwen2.5-3B, batch "
    "size 1) and NF4 16.5, but on an RTX 4090 NF4 writes 68 instead of 47 (Llama-3.1-8B) [@bitsandbytes]."
)
SPOT_CHECK = 25  # items that people rate where the study names no number

READS_TEXT = True  # signs, plates, letters, forms
WHY_NO_OBJECTS = "an answer to a question is not a description: what it names is right or wrong in the scores."

TASK = "visual question answering"
GOAL = "how many bits the parts of a vision-language model need before its answers get worse"
SCORED = "Answers are normalised and scored against the answers that people gave; {cited} is the primary metric."
APPLICATION = (
    "Answering questions about pictures serves people who cannot see them [@gurari2018vizwiz] and readers of charts "
    "[@masry2022chartqa] and documents [@mathew2021docvqa]. Answers are short, so the time goes into the picture and "
    "the prompt rather than into generated tokens, and formats that only speed up the decoding win little. Models can "
    "also guess from the question alone [@goyal2017vqa], which is why a floor without the picture belongs beside every "
    "score."
)
RISK = (
    "A model answers with the same confidence where it guesses. Someone who asks because they cannot see the picture "
    "[@gurari2018vizwiz] cannot check the answer, and pictures that people take at home or of papers often hold "
    "personal data."
)
RISK_IN_SHORT = "a wrong answer reads like a right one, and may repeat what is private"

SHARE = {"unit": "share of items", "higher_is_better": True, "range": (0, 1)}
METRICS: dict[str, dict[str, Any]] = {
    "vqa_accuracy": {"label": "VQA accuracy", **SHARE, "unit": "score", "cited": "VQA accuracy [@antol2015vqa]"},
    "anls": {"label": "ANLS", **SHARE, "unit": "score", "cited": "ANLS [@biten2019scenetext]"},
    "relaxed_accuracy": {"label": "Relaxed accuracy", **SHARE, "cited": "relaxed accuracy [@masry2022chartqa]"},
    "exact_match": {"label": "Exact match", **SHARE},
}
# What `breakdown` tells apart: keys of an item's `extra`.
KINDS = ("answer_type", "question_type")

Item = Mapping[str, Any]
Measure = Callable[[str, Sequence[str]], float]


def score(
    items: Sequence[Item],
    predictions: Mapping[str, str],
    seed: int,
    *,
    primary: str | None = None,
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Score one answer an item against the answers that people gave.

    `items` are the lines of items.jsonl that were to be predicted; `predictions` maps each of their ids to its text.
    Computed are `primary` (the track's where it is None) and exact match: for VQA accuracy against the most common of
    the annotators' answers, both normalised, for ANLS and relaxed accuracy against any reference.

    Returned are the metrics of the record, each the mean over items with its 95 % bootstrap interval over images (all
    questions about an image are drawn together), and one dict an item: its id, its (first) image, its values, and the
    answer as it was compared. Raises `UserError` where an item has no reference.
    """
    from bitbudget.errors import UserError

    form, measures = _measures(primary or PRIMARY)
    rows = []
    for item in items:
        if not item["references"]:
            raise UserError(
                f"item {item['id']!r} has no reference answer to score against; choose another split or subset."
            )
        text = predictions[item["id"]]
        values = {name: measure(text, item["references"]) for name, measure in measures.items()}
        rows.append({"id": item["id"], "image": item["images"][0]["id"], **values, "answer": form(text)})
    return _metrics(rows, list(measures), seed), rows


def breakdown(
    items: Sequence[Item], per_item: Sequence[Mapping[str, Any]], seed: int, *, primary: str | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """The primary metric by answer type and by question type, as far as the items' `extra` names them.

    `per_item` is what `score` returned for these items. The most frequent type comes first; each has its number of
    questions and, from ten images on, its interval over the images that have such a question.
    """
    name = primary or PRIMARY
    rows = {row["id"]: row for row in per_item}
    found = {}
    for kind in KINDS:
        of_type = defaultdict(list)
        for item in items:
            if item["extra"].get(kind):
                of_type[str(item["extra"][kind])].append(rows[item["id"]])
        ordered = sorted(of_type.items(), key=lambda one: (-len(one[1]), one[0]))
        if ordered:
            found[kind] = {one: _metrics(own, [name], seed)[name] for one, own in ordered}
    return found


# A type of the floor has at least so many questions; so many of the types are named.
BLIND_QUESTIONS, BLIND_NAMED = 10, 12
# Where an answer also scores on questions that nobody answered so, candidates times questions are at most so many, for
# it takes up to 0.2 ms to compare two texts; but at least so many candidates are judged.
BLIND_COMPARISONS, BLIND_CANDIDATES = 500_000, 25


def blind_answers(items: Sequence[Item], seed: int, *, primary: str | None = None) -> tuple[str, dict[str, str]]:
    """The best answer to each type of question, for one who hears the question and does not look.

    Returned are the answers in words, and the answer to each item's id. Of all answers that people gave to a type of
    question, the best is chosen on the very items that it is then scored on, so no such guesser scores higher. For ANLS
    and relaxed accuracy, by which an answer may score on any question, only the most promising are judged on all of
    them (`BLIND_COMPARISONS`). Types of fewer than ten questions are taken together, and so are items without a type;
    where even these are fewer than ten, they get the best answer to all questions: the best answer to a single one
    would not be a guess any more. Nothing is drawn, so the seed does not matter.
    """
    form, measures = _measures(primary or PRIMARY)
    measure = measures[primary or PRIMARY]
    near = primary in ("anls", "relaxed_accuracy")
    judged = max(BLIND_CANDIDATES, BLIND_COMPARISONS // len(items)) if near else 1
    types = Counter(_question_type(item) for item in items)
    groups = defaultdict(list)
    for item in items:
        name = _question_type(item)
        groups[name if types[name] >= BLIND_QUESTIONS else ""].append(item)
    best = {name: _best_answer(group, form, measure, judged) for name, group in groups.items()}
    if 0 < len(groups.get("", ())) < BLIND_QUESTIONS:
        best[""] = _best_answer(items, form, measure, judged)
    answers = {item["id"]: best[name] for name, group in groups.items() for item in group}
    if set(best) == {""}:
        return f"{best['']!r} to every question", answers
    ordered = sorted(filter(None, best), key=lambda name: (-len(groups[name]), name))
    named = [f"{best[name]!r} to {name!r}" for name in ordered[:BLIND_NAMED]]
    if len(ordered) > BLIND_NAMED:
        named.append(f"likewise for {len(ordered) - BLIND_NAMED} more types of question")
    if "" in best:
        named.append(f"{best['']!r} to all others")
    return "; ".join(named), answers


def _question_type(item: Item) -> str:
    return str(item["extra"].get("question_type") or "")


def _best_answer(items: Sequence[Item], form: Callable[[str], str], measure: Measure, judged: int) -> str:
    """Of all references of these items, as first written, the one that scores best on the items it is a reference of.

    Of the `judged` best in that, the best on all items, for a measure by which an answer may score on others as well.
    Empty where no item has a reference, which `score` reports.
    """
    written: dict[str, str] = {}
    own: Counter[str] = Counter()
    answered = [item["references"] for item in items if item["references"]]
    for references in answered:
        for text in references:
            written.setdefault(form(text), text)
        for answer in dict.fromkeys(map(form, references)):
            own[answer] += measure(written[answer], references)
    candidates = [written[answer] for answer, _ in own.most_common(judged)]
    if len(candidates) < 2:
        return "".join(candidates)
    return max(candidates, key=lambda text: sum(measure(text, references) for references in answered))


def _measures(primary: str) -> tuple[Callable[[str], str], dict[str, Measure]]:
    """The form in which answers are compared where `primary` is the study's metric, and what is then computed."""
    from bitbudget.metrics import short_answers

    if primary == "anls":
        return short_answers.tidy, {"anls": short_answers.anls, "exact_match": short_answers.is_one_of}
    if primary == "relaxed_accuracy":
        return short_answers.tidy, {
            "relaxed_accuracy": short_answers.relaxed_accuracy,
            "exact_match": short_answers.is_one_of,
        }
    return short_answers.normalise, {
        "vqa_accuracy": short_answers.vqa_accuracy,
        "exact_match": short_answers.is_most_common,
    }


def resampled(rows: Sequence[Mapping[str, Any]]) -> bootstrap.Resampled:
    """How the metrics that these rows have, all means, follow from the images drawn, each with all its questions."""
    import numpy as np

    from bitbudget.stats import bootstrap

    names = [name for name in METRICS if name in rows[0]]
    values = np.array([[row[name] for name in names] for row in rows], dtype=float)

    def of(sums: np.ndarray, items: np.ndarray) -> bootstrap.Values:
        return dict(zip(names, sums.T / items, strict=True))

    return bootstrap.of_sums(values, [row["image"] for row in rows], {name: name for name in names}, of)


def _metrics(rows: Sequence[Mapping[str, Any]], names: Sequence[str], seed: int) -> dict[str, dict[str, Any]]:
    """The means of these values over the rows, with an interval where they are of enough images to have one."""
    import numpy as np

    from bitbudget import records
    from bitbudget.stats import bootstrap

    enough = len({row["image"] for row in rows}) >= bootstrap.FEWEST_UNITS
    drawn = bootstrap.draws([resampled(rows)], seed)[0] if enough else None
    found = {}
    for name in names:
        about = METRICS[name]
        ci = bootstrap.interval(drawn[name]) if drawn is not None else None
        mean, better = float(np.array([row[name] for row in rows]).mean()), about["higher_is_better"]
        found[name] = records.metric(mean, about["unit"], higher_is_better=better, n=len(rows), ci=ci)
    return found
