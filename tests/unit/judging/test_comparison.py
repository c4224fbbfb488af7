"""Comparing precisions: what the draws of a metric are, and which records belong together."""

import dataclasses

import numpy as np
import pytest
from made_up_boxes import made_up
from made_up_cells import BASELINE, answered, captioned, cell, compare, spec

from bitbudget.errors import UserError
from bitbudget.judging import comparison
from bitbudget.metrics import average_precision, captions
from bitbudget.stats import bootstrap, paired
from bitbudget.tracks import captioning, detection, lambada, vqa


def weights_of(count, resamples):
    """The weights of the sorted ids in each resample of the comparison."""
    return np.concatenate(list(bootstrap.weights_drawn(count, resamples, seed=3)))


def interval_of(drawn, stake, higher_is_better=True):
    """The interval that counts one unit more, from its draws: all of the units here differ."""
    count = len(drawn[1])
    drawn, weight = np.array(drawn[0]), bootstrap.weight_of_one_more(count, len(drawn[0]), seed=3)
    gain = drawn.std(ddof=1) * np.sqrt(count)
    below, above = (stake, gain) if higher_is_better else (gain, stake)
    return [
        np.quantile((1 - weight) * drawn - weight * below, 0.025),
        np.quantile((1 - weight) * drawn + weight * above, 0.975),
    ]


# ---- what a resample's metrics are


def bleu_of(rows, weights):
    return captions.bleu_from_counts(weights @ captions.bleu_counts_array([row["bleu"] for row in rows]))


def meteor_of(rows, weights):
    return float(captions.meteor_from_statistics(weights @ np.array([row["meteor"] for row in rows])))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CIDEr", lambda rows, weights: np.average([row["CIDEr"] for row in rows], weights=weights)),
        ("ROUGE-L", lambda rows, weights: np.average([row["ROUGE-L"] for row in rows], weights=weights)),
        ("BLEU-4", lambda rows, weights: bleu_of(rows, weights)[3]),
        ("BLEU-1", lambda rows, weights: bleu_of(rows, weights)[0]),
        ("METEOR", meteor_of),
    ],
)
def test_captions_of_a_resample_are_scored_as_all_are(name, value):
    before, after = captioned(80, seed=1), captioned(80, seed=1, loss=0.4)
    metric = compare("captioning", "CIDEr", before, after, resamples=60)["comparisons"][0]["metrics"][name]
    one, other = (sorted(rows, key=lambda row: row["id"]) for rows in (before, after))
    expected = [value(other, weights) - value(one, weights) for weights in weights_of(80, 60)]
    even = np.ones(80)
    assert metric["value"] == pytest.approx(value(after, even) - value(before, even))
    assert metric["standard_error"] == pytest.approx(np.std(expected, ddof=1))
    assert metric["baseline"] == pytest.approx(value(before, even))
    assert metric["compared"] == pytest.approx(value(after, even))
    # of a mean, as large as the items that a point of it belongs to; else that of an even share
    held = np.array([row[name] for row in before]) if name in ("CIDEr", "ROUGE-L") else even
    assert metric["stake"] == pytest.approx(value(before, even) * 80 * (held**2).sum() / held.sum() ** 2)
    if metric["units_changed"] == 80:
        assert metric["ci"] == pytest.approx(interval_of((expected, one), metric["stake"]))
    assert metric["value"] < 0 and metric["test"] == "paired bootstrap"


def passages(count, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    losses = rng.gamma(2, 0.5, count) + shift * rng.random(count)
    return [
        {"id": str(i), "top_1": float(v < 1), "last_word_accuracy": float(v < 0.8), "loss": v}
        for i, v in enumerate(losses)
    ]


def test_the_perplexity_of_a_resample_is_exp_of_its_mean_loss():
    before, after = passages(120, 2), passages(120, 2, shift=0.2)
    found = compare("lambada", "top_1", before, after, resamples=80)["comparisons"][0]
    ids = sorted(row["id"] for row in before)
    one, other = ({row["id"]: row["loss"] for row in rows} for rows in (before, after))
    a, b = (np.array([losses[key] for key in ids]) for losses in (one, other))
    expected = [np.exp(w @ b / 120) - np.exp(w @ a / 120) for w in weights_of(120, 80)]
    metric = found["metrics"]["perplexity"]
    assert metric["stake"] == pytest.approx(np.exp(a.mean()))  # nothing bounds it: it could come once more
    assert metric["ci"] == pytest.approx(interval_of((expected, ids), metric["stake"], higher_is_better=False))
    assert metric["value"] > 0 and metric["higher_is_better"] is False
    assert "relative_logit_error" not in found["metrics"]
    assert found["metrics"]["top_1"]["test"] == "exact McNemar"


def detected(seed, worse=0.0, images=30):
    objects, detections = made_up(images=images, seed=5)
    rng = np.random.default_rng(seed)
    kept = {key: [one for one in found if rng.random() >= worse] for key, found in detections.items()}
    items = [{"id": key, "images": [{"id": key}], "extra": {"objects": found}} for key, found in objects.items()]
    return objects, kept, detection.score(items, kept, 3)[1]


def test_the_ap_of_a_resample_is_what_the_library_says_of_the_images_drawn():
    """Of images in whole numbers the library knows the AP of their copies; what counts as weights is their ratio."""
    objects, first, rows = detected(0)
    ids, averages = sorted(objects), average_precision.averager(rows)
    for times in next(bootstrap.times_drawn(30, 12, seed=3)):
        copies = {str(copy): ids[i] for copy, i in enumerate(np.repeat(np.arange(30), times))}
        expected = average_precision.evaluate(
            {copy: objects[key] for copy, key in copies.items()}, {copy: first[key] for copy, key in copies.items()}
        )[0]
        order = [ids.index(key) for key in average_precision.in_order(ids)]
        for weights in (times, times / 7):
            found = averages(np.ascontiguousarray(weights[order][:, None]))
            assert {name: found[name][0] for name in found} == pytest.approx({name: expected[name] for name in found})


def test_draws_of_ap_are_scaled_by_how_much_too_high_those_of_the_baseline_are():
    before, after = detected(0)[2], detected(1, worse=0.3)[2]
    found = compare("detection", "AP", before, after, resamples=200)["comparisons"][0]
    place = {row["id"]: number for number, row in enumerate(sorted(before, key=lambda row: row["id"]))}
    weights = weights_of(30, 200)[:, [place[key] for key in average_precision.in_order(place)]].T
    base, other = (average_precision.averages(rows, np.ascontiguousarray(weights)) for rows in (before, after))
    shares = average_precision.shares([row["matches"] for row in before])
    for name in average_precision.RESAMPLED:
        metric = found["metrics"][name]
        scaled = (other[name] - base[name]) * metric["baseline"] / base[name].mean()
        assert metric["standard_error"] == pytest.approx(np.std(scaled, ddof=1))
        assert metric["stake"] == pytest.approx(metric["baseline"] * 30 * np.square(shares).sum())
        assert metric["ci"][0] < metric["value"] < 0


def with_other_scores(rows):
    """The same detections with scores that are rounded otherwise, which changes all rows and finds nothing else."""
    return [
        row | {"matches": [one | {"scores": [s * (1 - 1e-7) for s in one["scores"]]} for one in row["matches"]]}
        for row in rows
    ]


def test_a_difference_that_lies_in_one_image_is_not_significant():
    """Every score differs by its rounding, and one object is found in one image of 60 by one detector alone."""
    objects, detections = made_up(images=60, seed=5)
    before = detected(0, images=60)[2]
    key = next(key for key, found in detections.items() if objects[key] and found)
    lost = {**detections, key: []}
    items = [{"id": key, "images": [{"id": key}], "extra": {"objects": found}} for key, found in objects.items()]
    after = with_other_scores(detection.score(items, lost, 3)[1])
    assert before != after
    metrics = compare("detection", "AP", before, after)["comparisons"][0]["metrics"]
    for name in average_precision.RESAMPLED:
        metric = metrics[name]
        assert metric["value"] != 0 and metric["units_changed"] == 1
        assert metric["p_value"] == 1 and metric["ci"][0] <= 0 <= metric["ci"][1]
        assert "only 1 of 60 images differs" in metric["smallest_detectable_absent"]


def test_other_scores_alone_make_no_image_differ():
    before = detected(0)[2]
    metric = compare("detection", "AP", before, with_other_scores(before))["comparisons"][0]["metrics"]["AP"]
    assert (metric["value"], metric["p_value"], metric["units_changed"]) == (0, 1, 0)
    # AP is no mean over images, so nothing follows of the share of images that would differ.
    assert metric["smallest_detectable_absent"].startswith("its value is the same in every resample")
    assert "%" not in metric["smallest_detectable_absent"]


def test_each_number_of_an_image_has_what_makes_it_differ():
    def matches(right, ignored=(0, 0)):
        return [{"category_id": 1, "objects": 2, "scores": [0.9, 0.2], "right": list(right), "ignored": list(ignored)}]

    def differ(one, other):
        outcome = average_precision.outcome
        return {name for name in average_precision.RESAMPLED if outcome(one, name) != outcome(other, name)}

    assert differ(matches((1, 0)), matches((1, 0))) == set()
    assert differ(matches((1, 0)), matches((3, 0))) == {"AP", "AR_100"}  # at .55
    assert differ(matches((1, 0)), matches((1, 1))) == {"AP", "AP50", "AR_100"}
    assert differ(matches((1, 0)), matches((33, 0))) == {"AP", "AP75", "AR_100"}
    assert differ(matches((1, 0)), matches((0, 1))) == {"AP", "AP50"}  # the other detection found it: the same recall
    assert differ(matches((1, 0)), matches((1, 0), (0, 1))) == {"AP", "AP50"}


def test_what_is_not_computed_of_resamples_is_absent_with_both_values():
    before, after = detected(0)[2], detected(1, worse=0.3)[2]
    cells = [cell("detection", before), cell("detection", after, "p1")]
    for one, value in zip(cells, (0.5, 0.4), strict=True):
        one.scores["metrics"]["AP_small"] = {"value": value, "unit": "score", "higher_is_better": True, "n": 30}
    body = comparison.compare(spec("detection", "AP", ["p1"]), cells, resamples=20)
    small = body["comparisons"][0]["metrics"]["AP_small"]
    assert (small["baseline"], small["compared"]) == (0.5, 0.4) and "value" not in small
    assert "AP, AP50, AP75, AR_100 are" in small["absent"]
    assert body["resamples"] == dict.fromkeys(average_precision.RESAMPLED, 20)


def test_each_track_has_its_number_of_resamples():
    assert compare("vqa", "vqa_accuracy", answered([1, 0] * 10), answered([1, 1] * 10))["resamples"] == {
        "vqa_accuracy": 10_000
    }
    rows = detected(0)[2]
    assert compare("detection", "AP", rows, rows)["resamples"]["AP"] == 1000


# ---- the record


def test_what_an_answer_is_worth_by_itself():
    assert detection.worth({"found": 3, "wrong": 5}, "AP") == -2
    assert lambada.worth({"loss": 2.0, "top_1": 1.0}, "top_1") == 1
    assert lambada.worth({"loss": 2.0}, "perplexity") == lambada.worth({"loss": 2.0}, "loss") == -2
    assert not hasattr(captioning, "worth") and not hasattr(vqa, "worth")


def test_what_an_answer_is_worth_is_said_in_words():
    rows = detected(0)[2]
    assert compare("detection", "AP", rows, rows, resamples=20)["worth"] == detection.WORTH
    assert f"{detection.CONFIDENT:g}"[1:] in detection.WORTH
    assert "own value" in compare("vqa", "vqa_accuracy", answered([1, 0] * 10), answered([1, 1] * 10))["worth"]


def test_answers_are_counted_by_text_and_by_worth():
    before, after = answered([1, 1, 0, 0.3, 0.6] * 4), answered([1, 0, 1, 0.3, 0.6 + 1e-12] * 4)
    texts = {row["id"]: "same" for row in before}
    changed = texts | {"0": "other", "1": "other"}
    cells = [cell("vqa", before, answers=texts), cell("vqa", after, "p1", answers=changed)]
    (found,) = comparison.compare(spec("vqa", "vqa_accuracy", ["p1"]), cells, resamples=50)["comparisons"]
    assert found["answers"] == {"changed": 2, "better": 4, "worse": 4, "same": 12}


def ranked(ranks, losses):
    """Rows of the lambada track: the rank of the right word (0 is the first), and its loss."""
    return [
        {"id": str(i), **{f"top_{k}": float(rank < k) for k in (1, 5)}, "loss": loss}
        for i, (rank, loss) in enumerate(zip(ranks, losses, strict=True))
    ]


def test_every_metric_counts_the_items_that_are_better_or_worse_in_it():
    before = ranked([0, 2, 2, 7] * 5, [0.5, 1.0, 1.0, 2.0] * 5)
    after = ranked([2, 0, 7, 7] * 5, [1.0, 0.5, 2.0, 1.5] * 5)  # perplexity falls where the loss does
    body = compare("lambada", "top_1", before, after, resamples=50)
    assert "less scores higher" not in body["worth"]
    assert "less scores higher" in compare("lambada", "perplexity", before, after, resamples=50)["worth"]
    (found,) = body["comparisons"]
    counted = {name: (one.get("better"), one.get("worse")) for name, one in found["metrics"].items()}
    assert counted == {"top_1": (5, 5), "top_5": (0, 5), "loss": (10, 10), "perplexity": (10, 10)}
    assert (found["answers"]["better"], found["answers"]["worse"]) == (5, 5)
    rows = {row["metric"]: row for row in comparison.table({"study": "s"} | body)}
    assert {name: (row["better"], row["worse"]) for name, row in rows.items()} == counted
    assert {row["changed"] for row in rows.values()} == {20}
    assert all("better, worse" not in row["note"] for row in rows.values())


def test_where_items_have_no_value_of_their_own_their_number_is_empty_with_a_note():
    before, after = detected(0)[2], detected(1, worse=0.3)[2]
    body = compare("detection", "AP", before, after, resamples=20)
    rows = {row["metric"]: row for row in comparison.table({"study": "s"} | body)}
    answers = body["comparisons"][0]["answers"]
    assert (rows["AP"]["better"], rows["AP"]["worse"]) == (answers["better"], answers["worse"])
    assert rows["AP50"]["better"] is rows["AP50"]["worse"] is None
    assert rows["AP50"]["note"].endswith("better, worse: no item has a value of its own in AP50.")
    lost = [row | {"METEOR": None} for row in captioned(30, 1, loss=0.5)]
    body = compare("captioning", "METEOR", captioned(30, 1), lost, resamples=20)
    assert body["comparisons"][0]["answers"] == {"changed": 30}
    assert body["comparisons"][0]["metrics"]["CIDEr"]["worse"] == 30
    (line,) = list(comparison.in_words(body))[1:]
    assert line.endswith(" 30 changed")


def test_precisions_in_the_studys_order_and_the_noise_floor_after_them():
    rng = np.random.default_rng(1)
    rows = [answered(rng.random(40)) for _ in range(4)]
    body = compare("vqa", "vqa_accuracy", *rows[:3], noise=[rows[3]], resamples=200)
    assert [(one["precision"], one["kind"]) for one in body["comparisons"]] == [
        ("p1", "precision"),
        ("p2", "precision"),
        (BASELINE, "noise_floor"),
    ]
    metrics = [one["metrics"]["vqa_accuracy"] for one in body["comparisons"]]
    p_values = [metric["p_value"] for metric in metrics[:2]]
    low, high = min(p_values), max(p_values)
    assert metrics[0]["family"] == metrics[1]["family"] == 2
    corrected = {low: min(1, 2 * low), high: min(1, max(2 * low, high))}
    assert [metric["p_holm"] for metric in metrics] == [*(corrected[p] for p in p_values), None]
    assert {one["n"] for one in body["comparisons"]} == {one["units"] for one in body["comparisons"]} == {40}


def test_holms_family_is_the_whole_study():
    """Two models under two conditions with two precisions: eight comparisons, of which one is absent."""
    rng = np.random.default_rng(7)
    names = {"models": ["m", "n"], "conditions": ["zero-shot", "4-shot"]}
    cells = []
    for model in names["models"]:
        for condition in names["conditions"]:
            for name in (BASELINE, "p1", "p2"):
                made = cell("vqa", answered(rng.random(40)), name)
                cells.append(changed(made, model=model, condition=condition))
    cells[2].scores["metrics"]["vqa_accuracy"] = {"absent": "It failed.", "unit": "score", "higher_is_better": True}
    body = comparison.compare(spec("vqa", "vqa_accuracy", ["p1", "p2"]) | names, cells, [cells[0]], resamples=500)
    *precisions, noise = (one["metrics"]["vqa_accuracy"] for one in body["comparisons"])
    tested = [metric for metric in precisions if "p_value" in metric]
    assert [metric["family"] for metric in tested] == [7] * 7 and "family" not in noise
    least = min(tested, key=lambda metric: metric["p_value"])
    assert least["p_holm"] == pytest.approx(min(1, 7 * least["p_value"]))
    for metric in tested:
        seen = paired.standard_errors(7, metric["units_changed"]) * metric["standard_error"]
        assert metric["smallest_detectable"] == pytest.approx(seen)


@pytest.mark.parametrize(("number", "few"), [(25, False), (26, True)])
def test_among_too_many_comparisons_a_thousand_resamples_say_nothing(number, few):
    """2 / 1001 x 25 is .04995, and x 26 .0519."""
    before, after = answered([1.0] * 20), answered([0.9] * 9 + [0.8] * 11)
    body = compare("vqa", "vqa_accuracy", before, *[after] * number, resamples=1000)
    for one in body["comparisons"]:
        metric = one["metrics"]["vqa_accuracy"]
        assert (metric["p_holm"] >= 0.05) is few
        assert ("1000 resamples give no p value below 0.002" in metric.get("note", "")) is few
        assert ("no difference can be called" in metric.get("smallest_detectable_absent", "")) is few
    flips = compare("vqa", "vqa_accuracy", answered([1] * 40), *[answered([1, 0] * 20)] * number, resamples=1000)
    assert flips["comparisons"][0]["metrics"]["vqa_accuracy"]["p_holm"] < 0.05  # McNemar's needs no draws


def test_the_order_of_items_does_not_matter():
    rng = np.random.default_rng(2)
    before, after = answered(rng.random(90), a_image=2), answered(rng.random(90), a_image=2)
    plain = compare("vqa", "vqa_accuracy", before, after, resamples=300)
    assert compare("vqa", "vqa_accuracy", rng.permutation(before).tolist(), after[::-1], resamples=300) == plain
    one, other = detected(0)[2], detected(1, worse=0.3)[2]
    assert compare("detection", "AP", one[::-1], other, resamples=20) == compare(
        "detection", "AP", one, other, resamples=20
    )


def test_all_of_one_model_and_condition_share_their_draws():
    rng = np.random.default_rng(3)
    before, after, other = (answered(rng.random(50)) for _ in range(3))
    alone = compare("vqa", "vqa_accuracy", before, after, resamples=100)["comparisons"][0]
    together = compare("vqa", "vqa_accuracy", before, other, after, noise=[other], resamples=100)["comparisons"]
    one, other = (found["metrics"]["vqa_accuracy"] for found in (alone, together[1]))
    of_all = dict.fromkeys(("p_holm", "family", "smallest_detectable"))  # in which the others have a part
    assert one | of_all == other | of_all
    assert together[0]["metrics"]["vqa_accuracy"]["ci"] == together[2]["metrics"]["vqa_accuracy"]["ci"]


def test_an_absent_metric_is_absent_with_its_reason():
    rows = captioned(30, seed=1)
    cells = [cell("captioning", rows), cell("captioning", captioned(30, 1, loss=0.5), "p1")]
    reason = {"absent": "SPICE needs two jars.", "unit": "score", "higher_is_better": True}
    for one in cells:
        one.scores["metrics"]["SPICE"] = reason
    cells[1].scores["metrics"]["METEOR"] = {**reason, "absent": "METEOR failed here."}
    (found,) = comparison.compare(spec("captioning", "CIDEr", ["p1"]), cells, resamples=20)["comparisons"]
    assert found["metrics"]["SPICE"] == reason
    assert found["metrics"]["METEOR"]["absent"] == "METEOR failed here."
    assert found["metrics"]["METEOR"]["baseline"] == cells[0].scores["metrics"]["METEOR"]["value"]


def test_few_images_have_no_difference():
    body = compare("vqa", "vqa_accuracy", answered([1] * 36, a_image=4), answered([0] * 36, a_image=4))
    metric = body["comparisons"][0]["metrics"]["vqa_accuracy"]
    assert "9 images are too few to tell a difference from chance" in metric["absent"]
    assert (metric["baseline"], metric["compared"]) == (1, 0) and body["resamples"] == {}
    assert body["comparisons"][0]["answers"]["worse"] == 36
    one = compare("vqa", "vqa_accuracy", answered([1] * 4, a_image=4), answered([0] * 4, a_image=4))["comparisons"][0]
    assert "1 image is too few" in one["metrics"]["vqa_accuracy"]["absent"]


def changed(made, **more):
    return dataclasses.replace(made, scores={**made.scores, **more})


@pytest.mark.parametrize(
    ("cells", "noise", "sentence"),
    [
        (lambda a, b: [a], None, "there are no scores of m / p1 / zero-shot"),
        (lambda a, b: [a, b, b], None, "p1/scores.json and p1/scores.json are both of m / p1 / zero-shot"),
        (lambda a, b: [a, changed(b, subset_hash="d" * 64)], None, "are of different subsets or items"),
        (lambda a, b: [a, cell("vqa", answered([0.5] * 19), "p1")], None, "are of different subsets or items"),
        (lambda a, b: [a, cell("vqa", answered([0.5] * 20, a_image=2), "p1")], None, "not of the same images"),
        (lambda a, b: [a, dataclasses.replace(b, rows=a.rows)], None, "has vqa_accuracy 0.5, and the item scores"),
        (lambda a, b: [a, b], lambda a: changed(a, checkpoint_hash="e" * 64), "are of different checkpoints"),
    ],
)
def test_what_does_not_belong_together_is_one_sentence(cells, noise, sentence):
    base, other = cell("vqa", answered([1, 0, 0] * 6 + [1, 1])), cell("vqa", answered([0.5] * 20), "p1")
    with pytest.raises(UserError, match=sentence) as fault:
        comparison.compare(spec("vqa", "vqa_accuracy", ["p1"]), cells(base, other), [noise(base)] if noise else [])
    assert "\n" not in str(fault.value)
