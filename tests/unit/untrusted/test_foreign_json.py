"""Files that users and data sets bring: whatever is wrong in one is a sentence with its place, in every reader."""

import json

import pytest
from config_folder import is_one_sentence

from bitbudget.config.validate import read_yaml
from bitbudget.datasets import chartqa, coco_format, instances_format, passage_rows, textvqa, vizwiz_vqa, vqa_format
from bitbudget.errors import UserError
from bitbudget.items import subset
from bitbudget.publishing.typesetting import bibliography, markdown
from bitbudget.spot_check import ratings
from bitbudget.untrusted import foreign_json

TEN = ["yes"] * 10
CARDS = {"c1": {"item": "7", "answer": "a dog", "rating": "right", "unsafe": False, "comment": ""}}
RATINGS = {"ratings_of": ratings.MARK, "study": "s", "rater": "ann", "saved": "now", "cards": CARDS}
CAPTIONS = {
    "images": [{"id": 7, "file_name": "a.png"}],
    "annotations": [{"id": 1, "image_id": 7, "caption": "a dog"}],
}
INSTANCES = {
    "images": [{"id": 7, "file_name": "a.png", "width": 9, "height": 9}],
    "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 1, 3, 3]}],
    "categories": [{"id": 1, "name": "dog"}],
}
VQA = {
    "questions": [{"question_id": 3, "image_id": 7, "question": "a dog?"}],
    "annotations": [{"question_id": 3, "image_id": 7, "answers": TEN}],
}
CHARTQA = [{"imgname": "a.png", "query": "a dog?", "label": "yes"}]
TEXTVQA = {"data": [{"question_id": 3, "image_id": "7", "question": "a dog?", "answers": TEN}]}
VIZWIZ = [{"image": "a.png", "question": "a dog?", "answers": TEN}]


def first_name(image):
    return image.get("file_name", "a.png")


def read_chartqa(folder):
    (folder / "annotations" / "test_augmented.json").write_text(json.dumps(CHARTQA))
    return chartqa.read_items({"url": "http://x", "revision": "0"}, folder, "test")


# What each reader reads: the file's name, its right content, and the reading.
READERS = {
    "captions": ("c.json", CAPTIONS, lambda f: coco_format.read_captions(f / "c.json", first_name)),
    "instances": ("i.json", INSTANCES, lambda f: instances_format.read_instances(f / "i.json", first_name)),
    "categories": ("i.json", INSTANCES, lambda f: instances_format.read_categories(f / "i.json")),
    "questions": ("q.json", VQA, lambda f: vqa_format.read_questions(f / "q.json", f / "q.json", first_name)),
    "chartqa": ("annotations/test_human.json", CHARTQA, read_chartqa),
    "textvqa": (
        "annotations/TextVQA_0.5.1_val.json",
        TEXTVQA,
        lambda f: textvqa.read_items({"images": "http://x"}, f, "val"),
    ),
    "vizwiz": ("annotations/val.json", VIZWIZ, lambda f: vizwiz_vqa.read_items({"images": "http://x"}, f, "val")),
    "passages": ("p.jsonl", {"text": "a dog barks"}, lambda f: passage_rows.read_passages(f / "p.jsonl")),
    "ratings": ("r.json", RATINGS, lambda f: ratings.read(f / "r.json", "s", {})),
}
DEEP = 100_000


def replaced(old, new):
    return lambda text: text.replace(old, new, 1).encode()


# What may be wrong with the bytes of a right file, and what the sentence says; the texts all hold "a dog".
FAULTS = {
    "nothing in it": (lambda text: b"", "is empty|has no passage"),
    "blanks only": (lambda text: b" \n \n", "is empty|has no passage"),
    "cut off": (lambda text: text[:-5].encode(), "is not valid JSON"),
    "no JSON": (lambda text: b"hello", "is not valid JSON"),
    "UTF-16": (lambda text: text.encode("utf-16"), "is saved as UTF-16; save it as UTF-8"),
    "UTF-16 without a mark": (lambda text: text.encode("utf-16-le"), "NUL"),
    "Latin-1": (replaced("a dog", "a d\xf6g"), None),
    "a NUL": (replaced("a dog", "a \0dog"), "NUL"),
    "an escaped NUL": (replaced("a dog", "a \\u0000dog"), "has a NUL character in "),
    "half a character": (replaced("a dog", "a dog \\ud83d"), r"has half a character \(a lone surrogate\) in "),
    "the other half": (replaced("a dog", "\\udc36 a dog"), "has half a character"),
    "half a character in a key": (replaced("{", '{"\\ud83d": 1, '), "has half a character .* in a key"),
    "a giant number": (replaced("{", '{"x": ' + "9" * 5000 + ", "), "has a number that is not finite in .*x"),
    "a large number": (replaced("{", '{"x": 1' + "0" * 400 + ", "), "has a number that is not finite in .*x"),
    "a float beyond": (replaced("{", '{"x": 1e999, '), "has a number that is not finite in .*x"),
    "NaN": (replaced("{", '{"x": NaN, '), "has a number that is not finite in .*x.*: nan"),
    "Infinity": (replaced("{", '{"x": [1, -Infinity], '), r"has a number that is not finite in .*x\[1\].*: -inf"),
    "deep lists": (lambda text: b"[" * DEEP + b"]" * DEEP, "is nested too deeply"),
    "deep objects": (replaced("{", '{"x": ' + '{"x": ' * DEEP + "1" + "}" * DEEP + ", "), "is nested too deeply"),
    "a key twice": (replaced("{", '{"x": 1, "x": 2, '), "has the key 'x' twice in one object"),
    "a list": (lambda text: b"[[]]", None),
    "a number": (lambda text: b"17", None),
    "null": (lambda text: b"null", None),
    "a text": (lambda text: b'"a dog"', None),
}


def text_of(content):
    return json.dumps(content, ensure_ascii=False)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_what_is_wrong_in_one_sentence(tmp_path, reader, fault):
    name, content, read = READERS[reader]
    damage, sentence = FAULTS[fault]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    data = damage(text_of(content))
    path.write_bytes(data if fault != "Latin-1" else text_of(content).replace("a dog", "a d\xf6g").encode("latin-1"))
    if data == text_of(content).encode():
        pytest.skip("no such text in this file")
    with pytest.raises(UserError, match=sentence) as caught:
        read(tmp_path)
    assert is_one_sentence(str(caught.value)), caught.value
    assert path.name in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_byte_order_mark_and_line_ends_of_windows_do_not_matter(tmp_path, reader):
    name, content, read = READERS[reader]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text_of(content), encoding="utf-8")
    wanted = read(tmp_path)
    text = text_of(content) if name.endswith("jsonl") else json.dumps(content, indent=1, ensure_ascii=False)
    (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig") + b"\r\n")
    assert read(tmp_path) == wanted


def test_whole_characters_beyond_the_first_65536_are_text(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(CAPTIONS).replace("a dog", "a dog \\ud83d\\udc36"))
    assert coco_format.read_captions(path, first_name)[0].references == ("a dog \N{DOG FACE}",)


def test_the_place_and_the_entry_are_named(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(CAPTIONS).replace("a dog", "a dog \\ud83d"))
    with pytest.raises(UserError) as caught:
        coco_format.read_captions(path, first_name)
    wanted = f"{path} has half a character (a lone surrogate) in annotations[0].caption (image_id 7, id 1): "
    assert str(caught.value) == wanted + "'a dog \\ud83d'; correct or remove it."
    path.write_text(json.dumps(VQA).replace('"answers": ["yes"', '"answers": ["\\udc00"'))
    with pytest.raises(UserError, match=r"answers\[0\] \(question_id 3, image_id 7\): '.udc00'; correct"):
        vqa_format.read_questions(path, path, first_name)
    path.write_text('{"text": "a b"}\n{"text": "a b", "text": "a c"}\n')
    with pytest.raises(UserError, match=r"c\.json, line 2, has the key 'text' twice in one object; remove one"):
        passage_rows.read_passages(path)


@pytest.mark.parametrize("value", [None, 1.0, True, [1], {}, "", "  "])
@pytest.mark.parametrize("reader", ["captions", "instances", "questions", "textvqa"])
def test_ids_are_whole_numbers_or_texts(tmp_path, reader, value):
    name, content, read = READERS[reader]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    whole = text_of(content)
    for key in ('"id": 7', '"id": 1', '"image_id": 7', '"image_id": "7"', '"question_id": 3', '"category_id": 1'):
        if key in whole:
            (tmp_path / name).write_text(whole.replace(key, f"{key.split(':')[0]}: {json.dumps(value)}", 1))
            with pytest.raises(UserError) as caught:
                read(tmp_path)
            assert is_one_sentence(str(caught.value).replace("None", "null"))


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "x/" * 600 + "a.png", "a\u0000.png", "", 7, None, "../a.png"])
def test_file_names_that_no_folder_can_hold_are_one_sentence(tmp_path, name):
    content = {**CAPTIONS, "images": [{"id": 7, "file_name": name}]}
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        coco_format.read_captions(tmp_path / "c.json", first_name)
    assert is_one_sentence(str(caught.value).replace("None", "null")) and len(str(caught.value)) < 400


def test_two_categories_of_one_name_are_refused_where_they_are_read(tmp_path):
    for other in ("dog", "Dog", " dog", "DOG "):
        two = [{"id": 1, "name": "dog"}, {"id": 2, "name": other}]
        (tmp_path / "i.json").write_text(json.dumps({**INSTANCES, "categories": two}))
        with pytest.raises(UserError, match=r"calls both category 1 \('dog'\) and category 2") as caught:
            instances_format.read_instances(tmp_path / "i.json", first_name)
        assert is_one_sentence(str(caught.value))


def test_what_is_long_or_deep_is_shortened_in_a_sentence():
    deep = []
    for _ in range(DEEP):
        deep = [deep]
    assert len(foreign_json.shown(deep)) < 100 and len(foreign_json.shown("x" * 10**6)) < 100
    assert len(foreign_json.shown(10**200)) < 100 and foreign_json.shown("a") == "'a'"


YAML_FAULTS = {
    "half a character": (b'prompt: "a \\ud83d"\n', r"has half a character .* in prompt"),
    "a NUL": (b'prompt: "a \\0"\n', "has a NUL character in prompt"),
    "a NUL as it is": (b"prompt: a\0\n", "NUL"),
    "UTF-16": ("prompt: a\n".encode("utf-16"), "is saved as UTF-16"),
    "not a number": (b"a: [1, .nan]\n", r"has a number that is not finite in a\[1\]"),
    "infinity": (b"a: {b: .inf}\n", r"has a number that is not finite in a\.b"),
    "a giant number": (b"seed: " + b"9" * 5000 + b"\n", "holds a value that cannot be read"),
    "a large number": (b"seed: 1" + b"0" * 400 + b"\n", "has a number too large to reckon with in seed"),
    "no such day": (b"seed: 2024-13-45\n", "holds a value that cannot be read"),
    "deep": (b"a: " + b"[" * 9000 + b"]" * 9000 + b"\n", "is nested too deeply"),
    "a list in itself": (b"a: &x [*x]\n", "holds a value that cannot be read"),
}


@pytest.mark.parametrize("fault", YAML_FAULTS)
def test_a_study_that_cannot_be_read_is_one_sentence(tmp_path, fault):
    content, sentence = YAML_FAULTS[fault]
    (tmp_path / "s.yaml").write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        read_yaml(tmp_path / "s.yaml")
    assert is_one_sentence(str(caught.value)) and "s.yaml" in str(caught.value)


def test_studies_and_lists_of_ids_may_have_a_byte_order_mark(tmp_path):
    (tmp_path / "s.yaml").write_bytes("study: a\r\nprompt: \xfc\r\n".encode("utf-8-sig"))
    assert read_yaml(tmp_path / "s.yaml") == {"study": "a", "prompt": "\xfc"}
    (tmp_path / "ids.txt").write_bytes("7\r\nb\r\n".encode("utf-8-sig"))
    assert subset.read_ids_file(tmp_path / "ids.txt") == ["7", "b"]
    (tmp_path / "ids.txt").write_bytes("7\n".encode("utf-16"))
    with pytest.raises(UserError, match=r"ids\.txt is saved as UTF-16"):
        subset.read_ids_file(tmp_path / "ids.txt")


def test_a_file_that_is_none_is_one_sentence(tmp_path):
    for path in (tmp_path / "none", tmp_path, tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(UserError) as caught:
            foreign_json.read_text(path)
        assert is_one_sentence(str(caught.value))


def test_words_and_works_of_an_author_may_have_a_byte_order_mark(tmp_path):
    (tmp_path / "methods.md").write_bytes("# Why\r\n\r\nBecause.\r\n".encode("utf-8-sig"))
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "methods.md").write_text("# Why\n\nBecause.\n")
    assert markdown.read_words(tmp_path) == markdown.read_words(tmp_path / "plain")
    (tmp_path / "references.bib").write_bytes("@misc{one, title = {\xfc}}\r\n".encode("utf-8-sig"))
    assert bibliography.read(tmp_path / "references.bib") == {"one": "@misc{one, title = {\xfc}}"}
    (tmp_path / "methods.md").write_bytes("Why".encode("utf-16"))
    with pytest.raises(UserError, match=r"methods\.md is saved as UTF-16"):
        markdown.read_words(tmp_path)


def test_a_folder_in_a_files_place_is_said_to_be_one(tmp_path):
    with pytest.raises(UserError, match=r"is a folder where a file is expected; name a file\.$"):
        foreign_json.read_text(tmp_path)
