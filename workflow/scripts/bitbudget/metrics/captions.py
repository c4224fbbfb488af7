"""Caption metrics as coco-caption computes them, by pycocoevalcap: CIDEr, BLEU-1 to -4, ROUGE-L, METEOR and SPICE.

Sources: BLEU, Papineni et al. 2002; CIDEr (here CIDEr-D, as everywhere that "CIDEr" is reported on COCO), Vedantam et
al. 2015; ROUGE-L, Lin 2004; METEOR 1.5, Denkowski & Lavie 2014; SPICE, Anderson et al. 2016. Captions and references
both go through the Penn Treebank tokeniser first, which lower-cases them and takes their punctuation away.

METEOR spends six of its seven seconds on reading a table of five million English paraphrases. `filter_paraphrases`
makes the part of it that can match a study's references, once a study, by METEOR's own filter; the scores are the same.
"""

from __future__ import annotations

import logging
import math
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget.errors import UserError
from bitbudget.system import java

log = logging.getLogger(__name__)

ORDERS = 4  # BLEU-1 to BLEU-4
BLEU_NAMES = tuple(f"BLEU-{order}" for order in range(1, ORDERS + 1))
METEOR_STATISTICS = 23  # numbers that METEOR keeps of an item
CORENLP = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")

Texts = Mapping[str, Sequence[str]]
Scored = tuple[float | str, list[float] | None]  # the corpus value or the reason why there is none; per item


def package_folder() -> Path:
    """Where pycocoevalcap and its jars are installed. Raises `UserError` where it is not."""
    try:
        import pycocoevalcap
    except ImportError:
        raise UserError(
            "scoring captions needs the package pycocoevalcap, which is not in this environment; "
            "install it with `pip install pycocoevalcap`, or use the environment of the scoring rule."
        ) from None
    return Path(next(iter(pycocoevalcap.__path__)))


def tokenize(texts: Texts) -> dict[str, list[str]]:
    """Penn Treebank tokens of every text, joined by blanks, lower-cased and without punctuation.

    One start of Java for all of them: the tokeniser, its options and the list of punctuation are pycocoevalcap's. Its
    own wrapper is not used because it writes into the package's folder and does not notice when Java fails, nor when a
    line break inside a caption (there are more of them than \\n) shifts all captions after it.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

    flat = [" ".join(text.split()) for group in texts.values() for text in group]
    jar = package_folder() / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    options = ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    with java.java_on_path():
        done = subprocess.run(
            ["java", *java.UTF_8, "-cp", str(jar), *options],
            input="".join(text + "\n" for text in flat).encode("utf-8", errors="replace"),
            capture_output=True,
            check=False,
        )
    if done.returncode != 0:
        reason = java.why_it_failed(_last_line(done.stderr), jar)
        raise UserError(f"the PTB tokeniser failed under {java.java_folder() / 'java'}: {reason}.")
    lines = done.stdout.decode("utf-8").split("\n")[:-1]
    if len(lines) != len(flat):
        raise RuntimeError(f"the PTB tokeniser gave {len(lines)} lines for {len(flat)} captions")
    tokenized = iter(lines)
    punctuation = frozenset(PUNCTUATIONS)
    return {
        key: [_without(punctuation, next(tokenized)) for _ in group]  # in the order in which `flat` was filled
        for key, group in texts.items()
    }


def _without(punctuation: frozenset[str], line: str) -> str:
    return " ".join(token for token in line.rstrip().split(" ") if token not in punctuation)


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else "it said nothing"


def score_tokenized(
    references: Texts, predictions: Mapping[str, str], paraphrases: Path | None = None
) -> tuple[dict[str, float | str], dict[str, dict[str, Any]]]:
    """Corpus and per-item scores of tokenised captions against tokenised references.

    `references` and `predictions` have the same ids; each id has one prediction, which may be empty, and at least one
    reference. `paraphrases` is METEOR's table as filtered by `filter_paraphrases` for these references; without it
    the whole table is read.

    Returned are the corpus values by metric name, where a metric that could not be computed has a sentence (str) in
    place of its number, and per id its values and the counts that the corpus values are made of: under `bleu`
    `correct` and `guess` (n-grams by order, 1 to 4), `test_length` and `reference_length` (tokens), and under `meteor`,
    where there is one, METEOR's statistics (`meteor_from_statistics`). Raises `UserError` where an id has no reference,
    `ValueError` where the ids differ.
    """
    ids = list(references)
    if set(ids) != set(predictions):
        raise ValueError("references and predictions must have the same ids")
    for key in ids:
        if not references[key]:
            raise UserError(f"item {key!r} has no reference caption; a captioning study needs at least one for each.")
    if not ids:
        raise UserError("there is no item to score; the study's subset must hold at least one.")
    refs = [list(references[key]) for key in ids]
    tests = [predictions[key] for key in ids]

    corpus: dict[str, float | str] = {}
    items: dict[str, dict[str, Any]] = {key: {} for key in ids}

    def keep(name: str, value: float | str, values: Sequence[float] | None) -> None:
        corpus[name] = value
        for key, one in zip(ids, values or [], strict=values is not None):
            items[key][name] = float(one)

    meteor = _InBackground(lambda: _meteor(refs, tests, paraphrases))  # its start is the longest wait
    keep("CIDEr", *_cider(refs, tests))
    totals, by_order, counts = _bleu(refs, tests)
    for name, total, values in zip(BLEU_NAMES, totals, by_order, strict=True):
        keep(name, total, values)
    for key, count in zip(ids, counts, strict=True):
        items[key]["bleu"] = count
    keep("ROUGE-L", *_rouge(refs, tests))
    value, values, statistics = meteor.result()
    keep("METEOR", value, values)
    for key, one in zip(ids, statistics or [], strict=statistics is not None):
        items[key]["meteor"] = one
    keep("SPICE", *_spice(refs, tests))
    return corpus, items


class _InBackground:
    """A function's result, computed in a thread while others are computed."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value, self._fault = self._function(), None
        except BaseException as fault:
            self._fault = fault

    def result(self) -> Any:
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        return self._value


def _cider(refs: list[list[str]], tests: list[str]) -> Scored:
    """CIDEr-D (Vedantam et al. 2015), times 10; the IDF is that of the references given, one document an item.

    An n-gram weighs ln(items / items whose references have it). Where all n-grams of all references are in those of
    every item, as they are where there is but one item, all weights are 0, and CIDEr is 0 / 0: no caption has a value.
    coco-caption writes 0 there.
    """
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    scorer = CiderScorer(n=4, sigma=6.0)
    for test, references in zip(tests, refs, strict=True):
        scorer += (test, references)
    if not any(any(reference) for reference in scorer.crefs):
        return "no reference holds a word that CIDEr could look for; choose items with other references.", None
    mean, values = scorer.compute_score()
    rare = any(0 < count < len(tests) for count in scorer.document_frequency.values())
    if not rare:
        reason = (
            "of a single item every word weighs nothing; choose a subset of two items or more."
            if len(tests) == 1
            else f"the references of all {len(tests)} items hold the same words, which then weigh nothing; choose "
            "items whose references differ."
        )
        return f"CIDEr weights words by how few items have them, and {reason}", None
    return float(mean), [float(value) for value in values]


def _bleu(refs: list[list[str]], tests: list[str]) -> tuple[list[float], list[list[float]], list[dict[str, Any]]]:
    """BLEU-1 to -4 of the corpus, per item by order, and each item's counts (Papineni et al. 2002).

    The reference length of an item is that of the reference whose length is closest, of two equally close the shorter.
    """
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=ORDERS)
    for test, references in zip(tests, refs, strict=True):
        scorer += (test, references)
    totals, by_order = scorer.compute_score(option="closest", verbose=0)
    counts = []
    for test in scorer.ctest:
        length = test["testlen"]
        counts.append(
            {
                "correct": [int(number) for number in test["correct"]],
                "guess": [int(number) for number in test["guess"]],
                "test_length": int(length),
                "reference_length": int(min((abs(other - length), other) for other in test["reflen"])[1]),
            }
        )
    return [float(total) for total in totals], by_order, counts


def bleu_counts_array(counts: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Items' BLEU counts as an array [items, 10]: correct 1 to 4, guess 1 to 4, test length, reference length."""
    rows = [[*one["correct"], *one["guess"], one["test_length"], one["reference_length"]] for one in counts]
    return np.asarray(rows, dtype=np.float64)


def bleu_from_counts(sums: np.ndarray) -> np.ndarray:
    """Corpus BLEU-1 to -4, [..., 4], from summed counts, [..., 10] in the order of `bleu_counts_array`.

    Papineni et al. 2002, equations 2 and 3: geometric mean of the clipped n-gram precisions, times the brevity penalty
    exp(1 - r/c) where the captions are shorter (c) than their references (r). The two small constants are
    coco-caption's, so that the values are the same to the last digit.
    """
    small, tiny = 1e-9, 1e-15
    sums = np.asarray(sums, dtype=np.float64)
    precisions = (sums[..., :ORDERS] + tiny) / (sums[..., ORDERS : 2 * ORDERS] + small)
    values = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (sums[..., -2] + tiny) / (sums[..., -1] + small)
    return values * np.exp(np.minimum(0.0, 1 - 1 / ratio))[..., None]


def _rouge(refs: list[list[str]], tests: list[str]) -> tuple[float, list[float]]:
    """ROUGE-L (Lin 2004): F of the longest common subsequence with beta = 1.2, best precision and recall of an item."""
    from pycocoevalcap.rouge.rouge import Rouge

    scorer = Rouge()
    values = [scorer.calc_score([test], references) for test, references in zip(tests, refs, strict=True)]
    return sum(values) / len(values), values


# The same, and each item's statistics.
ScoredByStatistics = tuple[float | str, list[float] | None, list[list[int]] | None]


def _meteor(refs: list[list[str]], tests: list[str], paraphrases: Path | None) -> ScoredByStatistics:
    """METEOR 1.5 (Denkowski & Lavie 2014), or the sentence that says why there is none."""
    folder = package_folder() / "meteor"
    command = ["java", *java.UTF_8, "-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
    if paraphrases is not None:
        command += ["-a", str(paraphrases.resolve())]
    with tempfile.TemporaryFile() as errors:  # a pipe that nobody reads could fill up and stop METEOR
        try:
            with java.java_on_path():
                process = subprocess.Popen(
                    command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
                )
        except OSError as fault:
            return f"METEOR could not be started ({fault}); reinstall pycocoevalcap, which brings its jar.", None, None
        watch = threading.Timer(60 + 0.5 * len(tests), process.kill)  # a killed METEOR answers with an empty line
        watch.start()
        try:
            return _converse(process, refs, tests)
        except (OSError, ValueError) as fault:
            process.kill()
            process.wait()
            errors.seek(0)
            said = _last_line(errors.read())
            log.warning("METEOR failed (%s): %s", fault, said)
            reason = java.why_it_failed(said, folder / "meteor-1.5.jar")
            return f"METEOR's Java program failed: {reason}.", None, None
        finally:
            watch.cancel()
            with suppress(OSError):
                process.stdin.close()
            process.kill()
            process.wait()
            process.stdout.close()


def _converse(
    process: subprocess.Popen, refs: list[list[str]], tests: list[str]
) -> tuple[float, list[float], list[list[int]]]:
    """Ask METEOR for each item's statistics and then for the scores that they make, one line at a time."""

    def ask(line: str) -> str:
        process.stdin.write(line.encode("utf-8", errors="replace") + b"\n")
        process.stdin.flush()
        return process.stdout.readline().decode().strip()

    answers = []
    for test, references in zip(tests, refs, strict=True):
        fields = [*references, test]
        answer = ask(" ||| ".join(["SCORE", *(_one_field(field) for field in fields)]))
        if len(answer.split()) != METEOR_STATISTICS:
            raise ValueError(f"{len(answer.split())} statistics in place of {METEOR_STATISTICS}")
        answers.append(answer)
    statistics = [_without_a_whole_chunk([int(float(number)) for number in answer.split()]) for answer in answers]
    values = [float(ask(" ||| ".join(["EVAL", *answers])))]
    values += [float(process.stdout.readline()) for _ in answers]
    return values[-1], values[:-1], statistics  # one value an item, then the corpus's


def _without_a_whole_chunk(statistics: list[int]) -> list[int]:
    """An item's statistics as METEOR adds them up: a caption that is its reference in one chunk counts no chunk."""
    lengths, matches = statistics[0:2], [sum(statistics[4:20:2]), sum(statistics[5:20:2])]
    return [*statistics[:20], 0, *statistics[21:]] if lengths == matches and statistics[20] == 1 else statistics


def meteor_from_statistics(sums: np.ndarray) -> np.ndarray:
    """Corpus METEOR, [...], from summed statistics, [..., 23] in the order in which METEOR 1.5 gives them.

    They are: caption and reference length (words), the function words of each; for each of the four matchers (exact,
    stem, synonym, paraphrase) the matched content words of caption and reference and the matched function words of
    both; the chunks (0 for a caption that is its reference); the matched words of caption and of reference.

    Denkowski & Lavie 2014, equations 1 to 5, with the paper's parameters for English: the matchers weigh 1, 0.6, 0.8
    and 0.6, a content word delta = 0.75 and a function word 1 - delta. With P and R so weighted the score is
    PR / (alpha P + (1 - alpha) R), alpha = 0.85, times 1 - gamma (chunks / matches)^beta, gamma = 0.6, beta = 0.2.
    """
    alpha, beta, gamma, delta = 0.85, 0.2, 0.6, 0.75
    sums = np.asarray(sums, dtype=np.float64)
    lengths, function = sums[..., 0:2], sums[..., 2:4]  # of caption and reference, as everything that follows
    matched = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 2, 2)  # matcher; content, function; caption, reference
    chunks, words = sums[..., 20], sums[..., 21:23]
    weighted = np.array([1, 0.6, 0.8, 0.6]) @ (delta * matched[..., 0, :] + (1 - delta) * matched[..., 1, :])
    with np.errstate(divide="ignore", invalid="ignore"):  # no match, or no word at all: 0 below
        share = weighted / (delta * (lengths - function) + (1 - delta) * function)
        precision, recall = share[..., 0], share[..., 1]
        mean = precision * recall / (alpha * precision + (1 - alpha) * recall)
        fragmentation = chunks / words.mean(axis=-1)
        values = mean * (1 - gamma * fragmentation**beta)
    return np.where((weighted > 0).all(axis=-1), values, 0.0)


def _one_field(text: str) -> str:
    """A text that is one field of one line of METEOR's protocol: no line break, no field separator."""
    return " ".join(re.split(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+|\|{3,}", text))


def _spice(refs: list[list[str]], tests: list[str]) -> Scored:
    """SPICE (Anderson et al. 2016), or the sentence that says why there is none.

    pycocoevalcap's class downloads CoreNLP when it is made, so it is made only where both jars are there already.
    """
    folder = package_folder() / "spice" / "lib"
    missing = [name for name in CORENLP if not (folder / name).exists()]
    if missing:
        return (
            f"SPICE needs {' and '.join(missing)} in {folder.parent.name}/{folder.name} of pycocoevalcap; run "
            "`python -m pycocoevalcap.spice.get_stanford_models` once in this environment (about 400 MB), then score "
            "again, with a Java 8 where a newer one fails.",
            None,
        )
    from pycocoevalcap.spice.spice import Spice

    numbered = range(len(tests))
    try:
        with java.java_on_path():
            mean, details = Spice().compute_score({i: refs[i] for i in numbered}, {i: [tests[i]] for i in numbered})
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError) as fault:
        log.warning("SPICE failed: %s", fault)
        return "SPICE's Java program failed, as it does on newer versions; put a Java 8 first on the PATH.", None
    values = [detail["All"]["f"] for detail in details]
    if not all(math.isfinite(value) for value in values):
        return "SPICE gave no number for some captions; look at the scoring log.", None
    return float(mean), values


def filter_paraphrases(references: Texts, out: Path) -> None:
    """Write to `out` (gzip) the part of METEOR's paraphrase table that can match these tokenised references.

    This is METEOR's own filter, as its authors used it for evaluation campaigns: it keeps each paraphrase of a phrase
    that occurs in a reference. METEOR tokenises by itself once more, so each reference also goes in with its
    punctuation set apart and with it left out: a phrase too many does no harm, one too few would. Raises `UserError`
    where there is no Java or the filter fails.
    """
    folder = package_folder() / "meteor"
    forms: dict[str, None] = {}
    for reference in (text for group in references.values() for text in group):
        text = " ".join(reference.lower().split())
        apart = re.sub(r"([^\w\s])", r" \1 ", text)
        forms.update(dict.fromkeys((text, " ".join(apart.split()), " ".join(re.sub(r"[^\w\s]", " ", text).split()))))
    with tempfile.TemporaryDirectory() as temporary:
        listed = Path(temporary) / "references.txt"
        listed.write_text("".join(form + "\n" for form in forms), encoding="utf-8")
        filtered = Path(temporary) / "paraphrases.gz"
        with java.java_on_path():
            command = ["java", *java.UTF_8, "-cp", str(folder / "meteor-1.5.jar"), "FilterParaphrase"]
            done = subprocess.run(
                [*command, str(folder / "data" / "paraphrase-en.gz"), str(filtered), str(listed)],
                capture_output=True,
                check=False,
            )
        if done.returncode != 0 or not filtered.exists():
            reason = java.why_it_failed(_last_line(done.stderr), folder / "meteor-1.5.jar")
            raise UserError(f"METEOR's paraphrase filter failed: {reason}, and see that the disk is not full.")
        out.write_bytes(filtered.read_bytes())
