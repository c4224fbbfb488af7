"""The LAMBADA track: a passage without its last word, and the word that the whole passage decides.

Paperno et al., ACL 2016 (arXiv 1606.06031). Nothing is asked and nothing generated: the model reads the passage, and
what it gives to the tokens of the last word says whether it would have found it.

Importable without any heavy library: the config is checked, and the workflow parsed, with nothing but Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from bitbudget.stats import bootstrap

PRIMARY = "top_1"
PROMPT = None  # the model reads on; it is asked nothing
RUNTIME = "transformers"
FEW_SHOT = False  # zero-shot is its only condition
IMAGES = False
ROWS = True  # scoring is given whole prediction rows
LOGITS = True  # and, for relative_logit_error, the logits that some of them come from
DEFAULT_PRECISIONS = ("auto", "bnb-int8", "gptq-8", "gptq-4", "gptq-2")
FLOOR = "guessing last words by their frequency without reading"
RESAMPLED = "passages"
ITEM = "passage"  # what a model is asked about
RATE = ("token_rate", "tokens/s")  # the speed that the track is told by: a metric for every batch size, and its unit
FIGURES: tuple[str, ...] = ()
# For the paper: what its task's models are made of, what the metric punishes, and what others published.
BACKGROUND = (
    "Language models of today are stacks of transformer blocks that read a text and give every token of their "
    "vocabulary a probability to come next [@touvron2023llama; @zhang2022opt; @biderman2023pythia]. Nearly all of "
    "their weights lie in the linear layers of attention and of the feed-forward blocks; these are what is quantized, "
    "while norms, and often embeddings and the output layer, stay in 16 bits. The prompt is read in one pass that is "
    "bound by arithmetic (prefill). Then each new token needs a pass of its own, which multiplies all weights with "
    "one vector and is bound by reading them (decode). Fewer bits per weight can speed up decode where the kernel "
    "unpacks them on the fly, and little else.",
    "They are used as assistants, for completing code and text, for translation and for search, and more and more on "
    "the user's own machine: there nobody else reads what is typed, but memory is small and shared, so 16-bit weights "
    "of some billion parameters do not fit. In a data centre the same saving lets more requests share a GPU. Large "
    "models are hard to quantize in one respect: a few columns of their activations hold values far above all others, "
    "and rounding these with the rest destroys the model [@dettmers2022llmint8]. Small models have redundancy to lose "
    "instead. The error of a layer is passed on to all layers behind it, and over a long passage to all later tokens.",
)
PUNISHES = {
    "top_1": "Top-1 accuracy sees only whether the right token is first: a format can lower its probability for long "
    "without any loss, and perplexity, which sees every change of it, moves first.",
}
RELATED = (
    "On LAMBADA, LLM.int8() is reported to keep OPT-175B at .746 (16 bits: .747) and to take BLOOM-176B from .672 to "
    ".681, with standard errors of about .006; BLOOM writes 15 to 23 % more slowly, and T5-3B needs nearly seven times "
    "the time per token: small models were slowed most [@belkada2022int8]. GPTQ reports negligible losses in 3 and 4 "
    "bits for models of 175 billion parameters [@frantar2023gptq]; AWQ keeps those weights more exactly that see large "
    "activations [@lin2024awq]."
)

READS_TEXT = False  # there are no pictures
WHY_NO_OBJECTS = "a word that ends a passage describes no image."

TASK = "last-word prediction"
GOAL = "how many bits a language model needs before it loses the thread of a passage"
SCORED = (
    "Nothing is generated: the model reads the passage, and {cited} asks whether the first token of the last word is "
    "among the tokens it gives the greatest logits. Perplexity is that of the whole last word, and the relative logit "
    "error is how far a precision's logits lie from the baseline's, as a share of their norm."
)
APPLICATION = (
    "Language models complete, summarise and answer; at batch size 1 every generated token reads all weights once, so "
    "their size in memory bounds the speed on ordinary machines. LAMBADA asks for the last word of a passage that "
    "people find only when they read all of it [@paperno2016lambada]: it tests the use of a long context, and it is "
    "sensitive to damage that shorter tasks do not show."
)
RISK = (
    "Language models repeat what their training texts hold, stereotypes [@bender2021parrots] and personal data "
    "[@carlini2021extracting] included, and a next-word benchmark says nothing about it: the same score does not mean "
    "the same harm."
)
EXPECTED = "Last word"
RISK_IN_SHORT = "only the last word of a passage is judged, not what a model writes beyond it"

SHARE = {"unit": "share of passages", "higher_is_better": True, "range": (0, 1)}
METRICS: dict[str, dict[str, Any]] = {
    "top_1": {"label": "Top-1 accuracy", **SHARE},
    "top_5": {"label": "Top-5 accuracy", **SHARE},
    "top_10": {"label": "Top-10 accuracy", **SHARE},
    "top_20": {"label": "Top-20 accuracy", **SHARE},
    "top_50": {"label": "Top-50 accuracy", **SHARE},
    "top_100": {"label": "Top-100 accuracy", **SHARE},
    "last_word_accuracy": {"label": "Last word accuracy", **SHARE},
    "perplexity": {"label": "Perplexity", "unit": "per last word", "higher_is_better": False, "scale": "log"},
    "loss": {"label": "Loss", "unit": "nats per last word", "higher_is_better": False},
    "relative_logit_error": {
        "label": "Relative logit error",
        "unit": "share of the norm",
        "higher_is_better": False,
        "against_baseline": True,
    },
}
KIND_WORDS = {"target_tokens": {"1": "words of 1 token", "2": "words of 2 tokens", "3+": "words of 3+ tokens"}}
TOP_K = (1, 5, 10)  # where a study names none
LARGEST_LOSS = 700.0  # nats; the exponential of a little more is no float any more

Item = Mapping[str, Any]
Row = Mapping[str, Any]


def score(
    items: Sequence[Item],
    predictions: Mapping[str, Row],
    seed: int,
    *,
    primary: str | None = None,
    top_k: Sequence[int] = TOP_K,
    logits: Path | None = None,
    baseline_logits: Path | None = None,
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Score what a model gave to the last word of each passage.

    `items` are the lines of items.jsonl that were to be predicted, `predictions` maps each of their ids to its row of
    predictions.jsonl. Of the n passages, with the last word's tokens t_1 … t_m after the context c:

    `top_k`               share of passages where the rank of t_1, which is 1 + the number of tokens that the model
                          gives a greater logit after c, is at most k; tokens of equal logits, which are common in 16
                          bits, stand in the order of the vocabulary. Of a word in several tokens only the first is
                          looked at, so this is a statement on tokens; for k = 1, 5, 10 … as in `top_k`.
    `last_word_accuracy`  share of passages where each t_i is the token with the greatest logit after c, t_1 … t_(i-1):
                          the model would write just this word greedily. lm-evaluation-harness's `acc` of LAMBADA.
    `loss`                mean over passages of -ln p(t_1 … t_m | c), in nats per word, however many tokens it has.
    `perplexity`          exp(loss): lm-evaluation-harness's `perplexity` of LAMBADA (lm_eval/api/metrics.py: the
                          exponential of minus the mean log-likelihood of the words, not divided by their tokens).
    `relative_logit_error` of the first passages, whose logits z (after c, over all tokens) are in the file `logits`:
                          mean of ||z - b|| / ||b||, b being the baseline's in `baseline_logits`, and z and b without
                          their means, because a softmax does not see a shift. How far a precision moves the outputs,
                          also where no answer changes yet.

    Returned are the metrics of the record, each with its 95 % bootstrap interval over passages (the perplexity's is
    exp of the loss's; from ten passages on), and one dict an item: its id, its value in each metric that has one,
    `rank`, `target_tokens` as far as its row has it, and the predicted `text`. All metrics are computed, whichever is
    the study's `primary`.

    Raises `UserError` for a row that lacks what is needed, and where the two files of logits do not belong together.
    """
    ranks = sorted({1, *top_k})
    rows = [_scored(item, predictions[item["id"]], ranks) for item in items]
    names = [*(f"top_{k}" for k in ranks), "last_word_accuracy", "perplexity", "loss"]
    metrics = _metrics(rows, names, seed) | {"relative_logit_error": _logit_error(logits, baseline_logits, seed)}
    return {name: metrics[name] for name in METRICS if name in metrics}, rows


def breakdown(
    items: Sequence[Item], per_item: Sequence[Mapping[str, Any]], seed: int, *, primary: str | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """The primary metric by the number of tokens that the last word has: 1, 2, and 3 or more.

    `per_item` is what `score` returned for these items. Nothing where a row does not know its number of tokens, as
    those of the floor, which guesses words.
    """
    if not all("target_tokens" in row for row in per_item):
        return {}
    groups: dict[str, list[Mapping[str, Any]]] = {"1": [], "2": [], "3+": []}
    for row in per_item:
        groups[str(row["target_tokens"]) if row["target_tokens"] < 3 else "3+"].append(row)
    name = primary or PRIMARY
    return {"target_tokens": {kind: _metrics(rows, [name], seed)[name] for kind, rows in groups.items() if rows}}


BLIND_NAMED = 12  # words that are named


def blind_answers(items: Sequence[Item], seed: int, *, primary: str | None = None) -> tuple[str, dict[str, Row]]:
    """Guess the last words of these very passages by their frequency, for one who does not read.

    Returned are the guesses in words, and each item's row as `score` takes it: `rank` is the place of its word in the
    list of words by falling frequency (of words as frequent as one another the one met first comes first), `greedy`
    whether that is the first, `logprob` the logarithm of its share. The frequencies are those of the words that are
    then looked for, so the floor is what such a guesser could reach at most, and its perplexity is exp of the words'
    entropy. Ranks count words here, and tokens in a model's rows. Nothing is drawn, so the seed does not matter.
    """
    import math

    counts = Counter(item["references"][0] for item in items)
    most = counts.most_common()
    places = {word: place for place, (word, _) in enumerate(most, start=1)}
    rows = {}
    for item in items:
        word = item["references"][0]
        rank = places[word]
        logprob = math.log(counts[word] / len(items))
        rows[item["id"]] = {"text": most[0][0], "rank": rank, "greedy": rank == 1, "logprob": logprob}
    named = ", ".join(f"{word!r} ({count})" for word, count in most[:BLIND_NAMED])
    rest = ", …" if len(most) > BLIND_NAMED else ""
    return f"the {len(most)} different last words of {len(items)} passages by frequency: {named}{rest}", rows


def _scored(item: Item, row: Row, ranks: Sequence[int]) -> dict[str, Any]:
    """An item's values from its row. Raises `UserError` where the row lacks one that is needed."""
    import math

    from bitbudget.errors import UserError

    rank, greedy, logprob = (row.get(key) for key in ("rank", "greedy", "logprob"))
    if not (
        type(rank) is int
        and rank >= 1
        and type(greedy) is bool
        and isinstance(logprob, int | float)
        and math.isfinite(logprob)
    ):
        raise UserError(
            f"the prediction of item {item['id']!r} has {rank!r} as its rank, {greedy!r} as greedy and {logprob!r} as "
            "logprob, where a whole number from 1, true or false, and a finite number belong; predict this precision "
            "again."
        )
    values = {f"top_{k}": float(rank <= k) for k in ranks}
    values |= {"last_word_accuracy": float(greedy), "loss": -float(logprob)}
    more = {key: row[key] for key in ("target_tokens", "text") if key in row}
    return {"id": item["id"], **values, "rank": rank, **more}


def resampled(rows: Sequence[Mapping[str, Any]]) -> bootstrap.Resampled:
    """How the metrics that these rows have follow from the passages drawn: means, and exp of the mean loss.

    `relative_logit_error` is none of them: it is of few passages, whose values the rows do not have.
    """
    import numpy as np

    from bitbudget.stats import bootstrap

    names = [name for name in METRICS if name in rows[0]]
    values = np.array([[row[name] for name in names] for row in rows], dtype=float)

    def of(sums: np.ndarray, items: np.ndarray) -> bootstrap.Values:
        means = dict(zip(names, sums.T / items, strict=True))
        with np.errstate(over="ignore"):  # of a loss beyond LARGEST_LOSS, whose perplexity is absent
            return means | {"perplexity": np.exp(means["loss"])}

    made_of = {name: name for name in names} | {"perplexity": "loss"}
    return bootstrap.of_sums(values, [row["id"] for row in rows], made_of, of)


def worth(row: Mapping[str, Any], metric: str) -> float:
    """What an answer is worth by itself in a metric; more is better."""
    return -row["loss"] if metric in ("loss", "perplexity") else row[metric]


def _metrics(rows: Sequence[Mapping[str, Any]], names: Sequence[str], seed: int) -> dict[str, dict[str, Any]]:
    """These metrics of these rows, with an interval where they are enough to have one."""
    import numpy as np

    from bitbudget.stats import bootstrap

    # The perplexity has no values of single passages: it is the exponential of the mean loss, and so is its interval.
    columns = {name: "loss" if name == "perplexity" else name for name in names}
    means = {name: np.array([row[column] for row in rows]).mean() for name, column in columns.items()}
    drawn = bootstrap.draws([resampled(rows)], seed)[0] if len(rows) >= bootstrap.FEWEST_UNITS else None
    return {
        name: _metric(name, means[name], None if drawn is None else bootstrap.interval(drawn[column]), len(rows))
        for name, column in columns.items()
    }


def _metric(name: str, value: float, interval: tuple[float, float] | None, n: int) -> dict[str, Any]:
    """A metric of the record from a mean and its interval; of the mean loss and its interval for the perplexity."""
    import math

    from bitbudget import records

    unit, better = METRICS[name]["unit"], METRICS[name]["higher_is_better"]
    if name == "perplexity":
        if max([value, *(interval or ())]) > LARGEST_LOSS:
            reason = f"exp of a loss of {value:.0f} nats is beyond any number that a computer holds; see loss."
            return records.absent(reason, unit, higher_is_better=better)
        value, interval = math.exp(value), interval and (math.exp(interval[0]), math.exp(interval[1]))
    return records.metric(value, unit, higher_is_better=better, n=n, ci=interval)


def _logit_error(logits: Path | None, baseline_logits: Path | None, seed: int) -> dict[str, Any]:
    """The metric `relative_logit_error`, or why there is none. Raises `UserError` for files that do not fit."""
    import numpy as np

    from bitbudget import records
    from bitbudget.errors import UserError
    from bitbudget.stats import bootstrap

    unit = METRICS["relative_logit_error"]["unit"]
    if logits is None or baseline_logits is None:
        reason = "no model was asked." if logits is None else "this is the baseline, against which it is measured."
        return records.absent(reason, unit, higher_is_better=False)
    found, base = _read_logits(logits), _read_logits(baseline_logits)
    if found.shape != base.shape:
        raise UserError(
            f"{logits} holds the logits of {found.shape[0]} passages over {found.shape[1]} tokens, and "
            f"{baseline_logits} those of {base.shape[0]} over {base.shape[1]}; predict both precisions again, on the "
            "same items."
        )
    with np.errstate(all="ignore"):  # what is not finite is told below
        found, base = (one - one.mean(axis=1, keepdims=True) for one in (found, base))
        errors = np.linalg.norm(found - base, axis=1) / np.linalg.norm(base, axis=1)
    broken = int((~np.isfinite(errors)).sum())
    if broken:
        reason = f"the logits of {broken} of {len(errors)} passages are not finite, or the baseline's are all equal."
        return records.absent(reason, unit, higher_is_better=False)
    interval = None
    if len(errors) >= bootstrap.FEWEST_UNITS:
        interval = bootstrap.interval(bootstrap.bootstrap_sums(errors[:, None], seed=seed)[:, 0] / len(errors))
    return records.metric(errors.mean(), unit, higher_is_better=False, n=len(errors), ci=interval)


def _read_logits(path: Path) -> Any:
    """The logits of a file that predict_last_words wrote: (passages, vocabulary), in float64."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from bitbudget.errors import UserError

    try:
        logits = load_file(path)["logits"]
    except (OSError, SafetensorError, KeyError):
        raise UserError(f"{path} is no file of logits as predict_last_words writes it; predict again.") from None
    if logits.ndim != 2 or 0 in logits.shape:
        raise UserError(f"{path} holds logits of the shape {logits.shape}, not (passages, vocabulary); predict again.")
    return logits.astype(np.float64)
