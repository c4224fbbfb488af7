"""Objects that a caption names and the image does not show: CHAIR, per precision and against the baseline.

Rohrbach, Hendricks, Burns, Darrell & Saenko (2018), "Object Hallucination in Image Captioning", EMNLP, section 2.1:

    CHAIR-i = hallucinated mentions / all mentions of an object      CHAIR-s = captions with one of them / all captions

An object is hallucinated that neither the image's annotated objects nor any of its reference captions name. The words
for objects are our own (`workflow/data/words/objects.toml`), so the values are not to be compared with published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import gt
from typing import Any

import numpy as np

from bitbudget import records
from bitbudget.inspection.objects import Vocabulary, named_by_people
from bitbudget.inspection.truth import Truth
from bitbudget.stats import bootstrap, bounds, paired

UNITS = {"chair_i": "share of mentioned objects", "chair_s": "share of captions"}
LABELS = {"chair_i": "CHAIR-i", "chair_s": "CHAIR-s"}
CORRECTION = (
    "p_value is two-sided and uncorrected; p_holm is after Holm over all precisions of all models and conditions of "
    "the study that could be compared, in each of the two metrics by itself; family says how many these are."
)
_TOO_FEW = f"fewer than {bootstrap.FEWEST_UNITS} captions are too few to tell a difference from chance."
_NO_WIDTH = 1e-12  # of an interval of a share: no more than rounding


@dataclass(frozen=True)
class Row:
    """What one caption names: how many objects, and those of them that are not there (of which one may be several)."""

    mentions: int
    hallucinated: tuple[str, ...]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Hallucinated mentions, mentions, and whether any is hallucinated."""
        return len(self.hallucinated), self.mentions, int(bool(self.hallucinated))

    @property
    def share(self) -> float:
        """The hallucinated share of what it names; 0 where it names nothing, which makes nothing up.

        What a test may count as a change: a caption that names fewer objects, none of them made up, moves CHAIR-i, but
        says nothing of hallucination by itself.
        """
        return len(self.hallucinated) / self.mentions if self.mentions else 0.0


def rows_of(
    vocabulary: Vocabulary, truth: Mapping[str, set[str]], items: Sequence[Mapping[str, Any]], texts: Mapping[str, str]
) -> list[Row]:
    """The row of each item, in their order. `truth` maps an item's id to what its image and its references show.

    A word that may be of several categories is hallucinated only where none of them is there.
    """
    found = []
    for item in items:
        meant = vocabulary.mentions(texts[item["id"]])
        there = truth[item["id"]]
        missing = (" or ".join(sorted(one)) for one in meant if not one & there)
        found.append(Row(len(meant), tuple(missing)))
    return found


def there_to_name(
    vocabulary: Vocabulary, truth: Truth, items: Sequence[Mapping[str, Any]], references: bool = True
) -> dict[str, set[str]]:
    """What each item's image shows: its annotated objects, and what its `references` name."""
    return {
        item["id"]: truth.shown[item["images"][0]["id"]]
        | (named_by_people(vocabulary, item["references"]) if references else set())
        for item in items
    }


def resampled(rows: Sequence[Row], ids: Sequence[str]) -> bootstrap.Resampled:
    """How both shares follow from the captions drawn; CHAIR-i is not a number where these name no object at all."""

    def of(sums: np.ndarray, captions: np.ndarray) -> bootstrap.Values:
        hallucinated, mentions, captions_with = sums.T
        share = np.full(len(sums), np.nan)
        np.divide(hallucinated, mentions, out=share, where=mentions > 0)
        return {"chair_i": share, "chair_s": captions_with / captions}

    made_of = {"chair_i": "mentions", "chair_s": "hallucinated"}
    return bootstrap.of_sums(np.array([row.counts for row in rows], dtype=float), ids, made_of, of)


@dataclass(frozen=True)
class Group:
    """The precisions of one model and condition, the baseline first; all are resampled alike."""

    rows: Sequence[Sequence[Row]]
    sets: Sequence[bootstrap.Resampled]
    drawn: Sequence[bootstrap.Values]  # empty where there are too few captions
    weighted: Sequence[bootstrap.Values]  # the same with weights, for differences
    one_more: np.ndarray  # the weight of one caption more in each of these

    @classmethod
    def of(cls, rows: Sequence[Sequence[Row]], ids: Sequence[str], seed: int) -> Group:
        """The group of these rows, of items with these ids. All must be of the same items in the same order."""
        sets = [resampled(one, ids) for one in rows]
        enough = len(ids) >= bootstrap.FEWEST_UNITS
        drawn = [bootstrap.draws(sets, seed, weighted=weighted) if enough else [] for weighted in (False, True)]
        return cls(rows, sets, *drawn, bootstrap.weight_of_one_more(len(ids), seed=seed))

    def metrics(self, number: int) -> dict[str, dict[str, Any]]:
        """Both shares of the precision of this number, each with its interval, or a note why it has none.

        Where no caption or every one has a hallucinated mention, all resamples are alike; CHAIR-s then has the exact
        interval of Clopper & Pearson (captions are drawn independently), CHAIR-i none (mentions are not).
        """
        whole, found, rows = self.sets[number].whole(), {}, self.rows[number]
        counts = [sum(column) for column in zip(*(row.counts for row in rows), strict=True)]
        totals = {"chair_i": (counts[0], counts[1]), "chair_s": (counts[2], len(rows))}
        for name, unit in UNITS.items():
            hallucinated, of = totals[name]
            if not of:
                found[name] = records.absent(_none_named(), unit, higher_is_better=False)
                continue
            ci, note = self._interval(name, number, hallucinated, of)
            more = {"count": hallucinated, "of": of, **({"note": note} if note else {})}
            found[name] = records.metric(whole[name], unit, higher_is_better=False, n=len(rows), ci=ci, **more)
        return found

    def _interval(
        self, name: str, number: int, hallucinated: int, of: int
    ) -> tuple[tuple[float, float] | None, str | None]:
        """The interval of a share, and what is to be known of it."""
        reason = self._too_few(name, [number])
        if reason:
            return None, f"No interval: {reason}"
        drawn, note = _numbers(self.drawn[number][name])
        if np.ptp(drawn) > _NO_WIDTH:
            return bootstrap.interval(drawn), note
        if name == "chair_s":
            upper = bounds.clopper_pearson_upper(0, of)
            ci = (0.0, upper) if hallucinated == 0 else (1 - upper, 1.0)
            return ci, "The interval is the exact one of Clopper & Pearson, because all resamples are alike."
        return None, "No interval: all resamples are alike, so the bootstrap says nothing of others that could be."

    def differences(self, number: int) -> dict[str, dict[str, Any]]:
        """Both differences of the precision of this number from the baseline, number 0; less is better.

        Tested as `paired.difference` does: CHAIR-i by the bootstrap, CHAIR-s by McNemar's exact test of the captions
        that only one of the two has right. One caption more than there are could be hallucinated in all that it names.
        """
        here, base, found = self.metrics(number), self.metrics(0), {}
        for name, unit in UNITS.items():
            both = {"baseline": base[name], "compared": here[name]}
            reason = next((one["absent"] for one in both.values() if "absent" in one), None)
            reason = reason or self._too_few(name, [0, number])
            if reason:
                found[name] = records.absent(reason, unit, higher_is_better=False)
                continue
            found[name] = self._difference(name, number, {side: one["value"] for side, one in both.items()})
        return found

    def _too_few(self, name: str, numbers: Sequence[int]) -> str | None:
        """Why the captions of these precisions are too few to say how far chance moves a share."""
        if not self.drawn:
            return _TOO_FEW
        naming = min(sum(row.mentions > 0 for row in self.rows[number]) for number in numbers)
        if name == "chair_s" or naming >= bootstrap.FEWEST_UNITS:
            return None
        return (
            f"only {naming} of {len(self.rows[0])} captions of {'one of the two' if len(numbers) > 1 else 'this one'} "
            f"name an object of the vocabulary, and fewer than {bootstrap.FEWEST_UNITS} are too few to tell a "
            "difference from chance."
        )

    def _difference(self, name: str, number: int, values: Mapping[str, float]) -> dict[str, Any]:
        pairs = list(zip(self.rows[0], self.rows[number], strict=True))
        drawn = self.weighted[number][name] - self.weighted[0][name]
        flips = None
        if name == "chair_s":
            before, after = ([bool(row.hallucinated) for row in one] for one in zip(*pairs, strict=True))
            flips = sum(map(gt, after, before)), sum(map(gt, before, after))
            changed = sum(flips)
        else:
            changed = sum(before.share != after.share for before, after in pairs)
        tested = paired.difference(
            values["compared"] - values["baseline"],
            drawn,
            paired.Unseen(self.one_more, stake=1.0),
            units=len(pairs),
            changed=changed,
            higher_is_better=False,
            flips=flips,
        )
        return records.metric(
            tested.value,
            UNITS[name],
            higher_is_better=False,
            n=len(pairs),
            ci=tested.ci,
            **values,
            units_changed=changed,
            test=tested.test,
            p_value=tested.p_value,
        )


def _numbers(drawn: np.ndarray) -> tuple[np.ndarray, str | None]:
    """The draws that are numbers, and how many are left out because these captions name no object."""
    kept = drawn[np.isfinite(drawn)]
    dropped = len(drawn) - len(kept)
    if not dropped:
        return kept, None
    return kept, f"{dropped} of {len(drawn)} resamples are left out, because their captions name no object."


def _none_named() -> str:
    return "no caption names an object of the vocabulary, so no share of them is wrong."


def correct(comparisons: Sequence[Mapping[str, Any]]) -> None:
    """Fill in each difference's p value after Holm, over all precisions of every model and condition, by metric."""
    for name in UNITS:
        family = [one["metrics"][name] for one in comparisons if "p_value" in one["metrics"].get(name, {})]
        for metric, p_value in zip(family, paired.holm([one["p_value"] for one in family]), strict=True):
            metric |= {"p_holm": p_value, "family": len(family)}
