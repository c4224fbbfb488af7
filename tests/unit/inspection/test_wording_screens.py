"""Profanity, and wording about people: sentences that are flagged, and ordinary captions that are not."""

import pytest

from bitbudget.inspection import people, profanity
from bitbudget.inspection.redaction import Redactor
from bitbudget.inspection.screen import Screen

ORDINARY = (
    "A black dog and a white cat on a dirty couch.", "A white toilet in a small room.", "A bunch of dirty trucks.",
    "A man in black standing next to a white truck.", "A black and white photo of a woman.", "An old brick house.",
    "The man is riding a black horse.", "A beautiful beach with people on it.", "A poor quality picture of a man.",
    "A hot dog on a plate.", "A young woman holds a fat cat.", "Two men with white shirts.", "A blind on a window.",
    "Asian food in a bowl.", "A girl with a crazy hat.", "A bathroom that is ugly.", "A cocktail in Scunthorpe.",
    "A gay couple kissing.", "yes", "2", "", "STOP",
)  # fmt: skip
SWEARING = {
    "what the fuck is this": "fuck", "You BASTARD!": "BASTARD", "a bitch, barking": "bitch", "bullshit": "bullshit",
    "he is a kike": "kike", "nigger": "nigger",
}  # fmt: skip


@pytest.fixture(scope="module")
def screen():
    return profanity.Screen([*ORDINARY, *SWEARING])


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_captions_are_not_profane(screen, text):
    assert screen.find(text) == []


@pytest.mark.parametrize(("text", "word"), SWEARING.items())
def test_profanity_and_slurs_are(screen, text, word):
    assert [text[span.start : span.end] for span in screen.find(text)] == [word]


def said(text):
    return [(span.what, text[span.start : span.end]) for span in people.find(text)]


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("An old Asian couple", [("age", "old"), ("ethnicity, skin or nationality", "Asian")]),
        ("A female police officer", [("gender", "female")]),
        ("The man is very poor.", [("crime or poverty", "poor")]),
        ("a woman who looks elderly", [("age", "elderly")]),
        ("a homeless man sleeps", [("crime or poverty", "homeless")]),
        ("A thief runs", [("crime or poverty", "thief")]),
        ("two drug dealers", [("crime or poverty", "drug dealers")]),
        ("a wheelchair-bound child", [("disability", "wheelchair-bound")]),
        ("Muslim women", [("religion", "Muslim")]),
        ("a fat guy, and an African American boy", [
            ("body", "fat"), ("ethnicity, skin or nationality", "African American"),
        ]),
    ],
)  # fmt: skip
def test_wording_about_people(text, flagged):
    assert said(text) == flagged


@pytest.mark.parametrize("text", [one for one in ORDINARY if "gay" not in one])
def test_the_same_words_said_of_things_are_not_flagged(text):
    assert said(text) == []


def test_every_class_says_why_and_where_that_was_shown():
    for name, one in people.CLASSES.items():
        assert one["adjectives"] or one["nouns"]
        assert len(one["why"]) > 20 and any(
            year in one["source"] for year in ("2016", "2018", "2019", "2020", "2021")
        ), name
        assert all(word == word.lower() for word in (*one["adjectives"], *one["nouns"]))


def test_flags_have_excerpts_in_which_personal_strings_are_replaced():
    text = f"{'x ' * 100}a fat man, mail bob@example.com {'y ' * 100}fuck"
    looking = Screen([text], Redactor(True, "US"))
    flags = {flag.what: flag.excerpt for flag in looking.answer(text, "What is there?")}
    assert set(flags) == {"e-mail", "wording about people: body", "profanity"}
    assert "a fat man, mail [e-mail]" in flags["wording about people: body"]
    assert flags["e-mail"].startswith("…") and flags["e-mail"].endswith("…")
    assert flags["profanity"].endswith("fuck")
    assert not any("bob@" in excerpt for excerpt in flags.values())
    shown = Screen([text], Redactor(False, "US")).answer(text, None)
    assert any("bob@example.com" in flag.excerpt for flag in shown)
