"""Personal strings: what is found, what is not, and what stands in their place."""

from itertools import pairwise

import pytest

from bitbudget.errors import UserError
from bitbudget.inspection import plates, privacy, redaction


def found(text, region="US", asked=None):
    return [(span.what, text[span.start : span.end]) for span in privacy.find(text, region, asked)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("write to john.doe+x@mail.example.com!", ("e-mail", "john.doe+x@mail.example.com")),
        ("info @ example.org", ("e-mail", "info @ example.org")),
        ("call (650) 253-0000 now", ("phone", "(650) 253-0000")),
        ("650-253-0000", ("phone", "650-253-0000")),
        ("6502530000", ("phone", "6502530000")),
        ("+43 1 58858", ("phone", "+43 1 58858")),
        ("card 4111 1111 1111 1111", ("card number", "4111 1111 1111 1111")),
        ("378282246310005", ("card number", "378282246310005")),
        ("GB82 WEST 1234 5698 7654 32 is it", ("bank account", "GB82 WEST 1234 5698 7654 32")),
        ("DE89370400440532013000", ("bank account", "DE89370400440532013000")),
        ("SSN 536-22-1234", ("social security number", "536-22-1234")),
        ("192.168.0.17", ("IP address", "192.168.0.17")),
        ("a car AB12 CDE", ("plate", "AB12 CDE")),
        ("ABC-1234", ("plate", "ABC-1234")),
        ("B-MW 1234", ("plate", "B-MW 1234")),
        ("ab12 cde", ("plate", "ab12 cde")),
        ("b-mw 1234", ("plate", "b-mw 1234")),
        ("a bus KA 01 AB 1234", ("plate", "KA 01 AB 1234")),
        ("mh12ab1234", ("plate", "mh12ab1234")),
        ("DL 3C AB 1234", ("plate", "DL 3C AB 1234")),
        ("22 BH 1234 AA", ("plate", "22 BH 1234 AA")),
        ("B AB 1234", ("plate", "B AB 1234")),
        ("a van 123 ABC", ("plate", "123 ABC")),
        ("john(at)mail.com", ("e-mail", "john(at)mail.com")),
        ("mail john.doe [at] mail [dot] co [dot] uk!", ("e-mail", "john.doe [at] mail [dot] co [dot] uk")),
        ("john at mail dot com", ("e-mail", "john at mail dot com")),
    ],
)
def test_personal_strings_are_found(text, what):
    assert found(text) == [what]


@pytest.mark.parametrize(
    "text",
    [
        "2019", "2019-2020", "1995 2000 2005 2010", "1990, 1995, 2000", "12/05/2010", "2010-05-12", "May 12, 1998",
        "3.14159265358", "0.2125551234", "1,234,567,890", "2,125,551,234", "$2125551234", "331002651", "10000000000",
        "100 200 300 400", "61 62 63 64 65", "12 34 56 78 90", "45.6, 34.2, 12.1, 9.8", "65%, 72%, 80.5%",
        "10:30-11:45",
        "1234567890123456", "4111 1111 1111 1112", "978-3-16-148410-0", "9783161484100", "version 1.2.3.4",
        "999.999.1.1", "MAY 2010", "WWI 1914", "USD 1234", "A380-800", "LH 4321", "3M", "BA 123", "a@b", "user@",
        "@home",
        "a woman looks at polka dot ties", "or 10 of 2000", "I AM 12", "WE GO 12", "it is 12", "A TO 10", "row b 12",
        "100 MPH", "500 LBS", "2000 LBS", "MADE IN 2014", "GDP IN 2015", "CO2 EMISSIONS 2010", "45-54 YRS", "US 101",
        "f-150", "route 66", "boeing 747-400", "iphone 12 pro", "seat 12a", "bus 405", "top 100", "abc 123", "x-y 12",
        "12.5 MIO", "0.45 to 0.55", "Q1 2019", "lg g6 at 10:30 am", "new york 2016", "EU-28", "1234 main st",
        "twenty two", "page 12 of 345", "078-05-1120", "GB82 WEST 1234 5698 7654 33", "7 7 7 7 7 7 7", "", "stop",
    ],
)  # fmt: skip
def test_numbers_that_are_only_numbers_are_not(text):
    assert found(text) == []


def test_a_region_decides_about_numbers_without_a_code():
    assert found("020 7946 0958", "GB") and not found("020 7946 0958", "US")
    with pytest.raises(UserError, match="no region 'XX'"):
        privacy.check_region("XX")


def test_a_question_about_a_plate_makes_a_short_code_one():
    asked = "What is the license plate number?"
    assert found("abc 123", asked=asked) == [("plate", "abc 123")]
    assert found("7xyz22", asked=asked) == [("plate", "7xyz22")]
    assert not found("abc 123", asked="What is on the sign?")
    assert found("it says abc 123.", asked=asked) == [("plate", "abc 123")]
    assert found("california 6abc123", asked=asked) == [("plate", "6abc123")]
    assert found("ABCD 12 EFGH 34567", asked=asked) == [("plate", "ABCD 12"), ("plate", "EFGH 34567")]
    for text in ("yes", "red car", "2010", "unanswerable", "12 34", "2 cars", "3 egg rolls on a white bowl"):
        assert not found(text, asked=asked), text


@pytest.mark.parametrize(
    ("question", "is_one"),
    [
        ("What does the plate say?", True),
        ("What is the number on the car's plate?", True),
        ("What state is the plate from?", True),
        ("what's the registration number", True),
        ("Which numberplate is it?", True),
        ("What is on the plate?", False),
        ("How many plates are there?", False),
        ("What number is on the bus?", False),
    ],
)
def test_questions_about_a_plate(question, is_one):
    assert plates.asked_for(question) is is_one


def test_spans_do_not_overlap_and_are_all_replaced():
    text = "Bob, bob@example.com, (650) 253-0000, plate AB12 CDE, 192.168.0.17 or 4111 1111 1111 1111."
    spans = privacy.find(text, "US")
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert redaction.redact(text, spans) == "Bob, [e-mail], [phone], plate [plate], [IP address] or [card number]."


def test_text_made_to_take_long_does_not():
    import time

    start = time.process_time()
    for text in (
        "a" * 20_000 + "@",
        "a." * 10_000 + "@" + "a." * 10_000,
        "1 " * 20_000,
        "AB12 " * 5_000,
        "x-" * 20_000,
        "(at)" * 5_000,
        "a at b dot " * 4_000,
        "AB " * 5_000,
    ):
        privacy.find(text, "US", "Which number plate?")
    assert time.process_time() - start < 20  # half a second; minutes where a pattern tries all ways


@pytest.mark.parametrize(
    ("track", "kind", "redact", "on", "said"),
    [
        ("vqa", "vqav2", True, True, "read off pictures"),
        ("vqa", "vqav2", False, False, "switches replacing off"),
        ("captioning", "local-captions", True, True, "items outside the known data sets"),
        ("captioning", "hub-captions", True, True, "items outside the known data sets"),
        ("captioning", "hub-captions", False, False, "switches replacing off"),
        ("captioning", "nocaps", True, False, "the data set kind nocaps is known"),
        ("lambada", "local-lambada", True, True, "items outside the known data sets"),
        ("lambada", "demo-passages", True, False, "no model is asked to read text"),
    ],
)
def test_when_strings_are_replaced(track, kind, redact, on, said):
    found, why = redaction.decided(track, kind, {"redact": redact})
    assert found is on and said in why and why.endswith(".")


def test_strings_are_replaced_where_track_and_data_set_say_nothing(monkeypatch):
    from bitbudget.datasets import nocaps
    from bitbudget.tracks import captioning

    monkeypatch.delattr(captioning, "READS_TEXT")
    assert redaction.decided("captioning", "nocaps", {"redact": True})[0]
    monkeypatch.undo()
    monkeypatch.delattr(nocaps, "PUBLISHED")
    assert redaction.decided("captioning", "nocaps", {"redact": True})[0]


def test_a_redactor_counts_distinct_texts_once_and_can_be_off():
    on, off = redaction.Redactor(True, "US"), redaction.Redactor(False, "US")
    text = "mail a@example.com or b@example.com"
    for redactor, expected in ((on, "mail [e-mail] or [e-mail]"), (off, text)):
        assert redactor(text) == redactor(text, "Why?") == expected
        assert len(redactor.spans(text)) == 2
    assert (on.replaced, off.replaced) == (2, 0)
    assert on("abc 123") == "abc 123" and on("abc 123", "Which license plate?") == "[plate]"
