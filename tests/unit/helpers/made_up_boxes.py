"""Objects and detections made up by chance, and the resamples of their images."""

import numpy as np

from bitbudget.stats import bootstrap


def made_up(images=12, categories=4, seed=0, ties=False):
    """Images with objects and detections of every kind: right, wrong, in crowds, of categories that are not there."""
    rng = np.random.default_rng(seed)
    objects, detections = {}, {}
    for number in range(images):
        key = str(number * 7 + 3)
        objects[key], detections[key] = [], []
        for _ in range(rng.integers(0, 6)):
            category = int(rng.integers(1, categories + 1))
            w, h = np.exp(rng.uniform(2, 5.3, 2))
            box = [*rng.uniform(0, 300, 2), w, h]
            crowd = int(rng.random() < 0.1)
            objects[key].append({"category_id": category, "bbox": box, "area": w * h * 0.8, "iscrowd": crowd})
            for _ in range(rng.integers(0, 3)):
                near = (np.array(box) * (1 + rng.normal(0, 0.07, 4))).tolist()
                detections[key].append({"category_id": category, "bbox": near, "score": rng.uniform(0.2, 1)})
        for _ in range(rng.integers(0, 8)):
            box = [*rng.uniform(0, 300, 2), *rng.uniform(5, 200, 2)]
            category = int(rng.integers(1, categories + 3))
            detections[key].append({"category_id": category, "bbox": box, "score": rng.uniform(0, 0.8)})
        for one in detections[key]:
            one["score"] = round(float(one["score"]), 1 if ties else 12)
            one["bbox"] = [float(value) for value in one["bbox"]]
    return objects, detections


def times_of(images, resamples, seed):
    """How often each resample has each image, [images, resamples]."""
    return np.concatenate(list(bootstrap.times_drawn(images, resamples, seed))).T
