"""Licences of pictures: which let everybody pass on a resized copy, and what a COCO file says of each image."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bitbudget.datasets import licences

ROOT = Path(__file__).parents[3]
# COCO's own list, with whether a resized copy may be passed on by everybody
COCO = {
    "http://creativecommons.org/licenses/by-nc-sa/2.0/": False,
    "http://creativecommons.org/licenses/by-nc/2.0/": False,
    "http://creativecommons.org/licenses/by-nc-nd/2.0/": False,
    "http://creativecommons.org/licenses/by/2.0/": True,
    "http://creativecommons.org/licenses/by-sa/2.0/": True,
    "http://creativecommons.org/licenses/by-nd/2.0/": False,
    "http://flickr.com/commons/usage/": True,
    "http://www.usa.gov/copyright.shtml": True,
}
OTHERS = {
    "CC0-1.0": True, "CC-BY-4.0": True, "CC-BY-SA-3.0": True, "own": True,
    "https://creativecommons.org/publicdomain/zero/1.0/": True,
    "": False, "CC-BY-NC-4.0": False, "CC-BY-ND-4.0": False, "GPL-3.0": False, "my own": False,
    "https://example.org/creativecommons.org/licenses/by/2.0/": False, "CC-BY-2.0 or so": False,
}  # fmt: skip


@pytest.mark.parametrize(("licence", "free"), (COCO | OTHERS).items())
def test_what_is_not_surely_free_is_not(licence, free):
    assert licences.is_free(licence) is free


def test_an_image_names_its_licence_by_the_files_own_ids():
    content = {"licenses": [{"id": number, "url": url} for number, url in enumerate(COCO, start=1)]}
    image = {"id": 7, "license": 4, "flickr_url": "http://flickr.example/7"}
    said = {"licence": "http://creativecommons.org/licenses/by/2.0/", "credit": "http://flickr.example/7"}
    assert licences.of_image(image, content) == said


@pytest.mark.parametrize(
    ("image", "content"),
    [
        ({"license": 9}, {"licenses": [{"id": 1, "url": "CC0-1.0"}]}),
        ({}, {"licenses": [{"url": "CC0-1.0"}]}),
        ({"license": 1}, {"licenses": "CC0-1.0"}),
        ({"license": 1, "flickr_url": 5}, {"licenses": [None, {"id": 1, "url": ["CC0-1.0"]}]}),
    ],
)
def test_what_a_file_does_not_say_is_not_known(image, content):
    assert licences.of_image(image, content) == {}


def test_pictures_of_the_demo_may_be_passed_on_and_those_of_ones_own_by_ones_word():
    entries = yaml.safe_load((ROOT / "config/datasets.yaml").read_text(encoding="utf-8"))
    free = {name for name, entry in entries.items() if licences.is_free(entry.get("pictures", ""))}
    assert {"demo-scenes", "demo-boxes", "demo-questions"} <= free
    assert not free & {"coco2017-captions", "coco2017-detection", "vqav2", "chartqa", "docvqa"}
