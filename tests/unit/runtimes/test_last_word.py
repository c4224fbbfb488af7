"""The last word of a passage: which tokens are scored, for every kind of tokenizer, and what their scores are."""

from types import SimpleNamespace

import pytest
import tiny_models as tiny
import tiny_tokenizers
import torch
from tokenizers import Tokenizer, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from bitbudget.errors import UserError
from bitbudget.models import checkpoint
from bitbudget.runtimes.transformers import generation, last_word

# --- the tokens ---

LLAMA2 = {f"llama2-{scheme}": (tiny_tokenizers.llama2, scheme) for scheme in ("legacy", "first", "always")}
KINDS = {
    "gpt-neox": (tiny_tokenizers.gpt_neox,),
    "qwen": (tiny_tokenizers.qwen,),
    "opt": (tiny_tokenizers.opt,),
    "llama3": (tiny_tokenizers.llama3,),
} | LLAMA2
BEGIN = {"gpt-neox": None, "qwen": None, "opt": "</s>", "llama3": "<|begin_of_text|>"} | dict.fromkeys(LLAMA2, "<s>")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """One of each kind, read from its files as a checkpoint's is."""
    folder = tmp_path_factory.mktemp("tokenizers")
    for name, (make, *scheme) in KINDS.items():
        make(folder / name, *scheme)
        (folder / name / "config.json").write_text('{"model_type": "opt"}' if name == "opt" else "{}")
    return {name: generation.load_tokenizer(folder / name) for name in KINDS}


def item(context, word, name="passage7"):
    return {"id": name, "images": [], "question": context, "references": [word], "extra": {}}


def encoded(tokenizer, context, word, bos="auto", room=None):
    """Prompt and target as written in the vocabulary, where each token stands once."""
    begin = last_word.beginning(tokenizer, bos)
    passage = last_word.encode(tokenizer, begin, item(context, word), room)
    return tokenizer.convert_ids_to_tokens(passage.prompt), tokenizer.convert_ids_to_tokens(passage.target)


def written(name, words, first):
    """These words as the kind of tokenizer writes them; only Llama 2's has a space before the first."""
    space = "▁" if name.startswith("llama2") else "Ġ"
    return [word if k == 0 and first and space == "Ġ" else space + word for k, word in enumerate(words)]


@pytest.mark.parametrize("name", KINDS)
def test_the_space_goes_to_the_last_word_and_the_beginning_is_the_tokenizers_own(tokenizers, name):
    prompt, target = encoded(tokenizers[name], "the cat sat on the", "mat")
    begin = [BEGIN[name]] if BEGIN[name] else []
    assert prompt == begin + written(name, ["the", "cat", "sat", "on", "the"], first=True)
    assert target == written(name, ["mat"], first=False)


@pytest.mark.parametrize("name", KINDS)
def test_a_word_of_several_tokens_keeps_the_space_with_its_first(tokenizers, name):
    _, target = encoded(tokenizers[name], "she saw his", "redcar")
    assert target == [*written(name, ["red"], first=False), "car"]


def test_the_very_numbers(tokenizers):
    """Specials, the 256 bytes, then the words: ` mat` and `mat` are two tokens."""
    neox, llama = tokenizers["gpt-neox"], tokenizers["llama2-legacy"]
    passage = last_word.encode(neox, [], item("the cat", "sat"), None)
    assert (passage.prompt, passage.target) == ([315, 263], [266])
    passage = last_word.encode(llama, [1], item("the cat", "sat"), None)
    assert (passage.prompt, passage.target) == ([1, 285, 288], [291])


@pytest.mark.parametrize("name", KINDS)
def test_what_is_wrong_would_be_seen(tokenizers, name):
    """The word encoded without its space; with it but alone; and a token of the end, as BERT's tokenizer writes one."""
    tokenizer = tokenizers[name]
    right = last_word.encode(tokenizer, [], item("the cat", "sat"), None).target
    bare = tokenizer("sat", add_special_tokens=False).input_ids
    alone = tokenizer(" sat", add_special_tokens=False).input_ids
    if name.startswith("llama2"):
        assert right == bare
        assert (right == alone) == (name != "llama2-legacy"), "a second ▁"
    else:
        assert right == alone != bare
    assert (tokenizer("the cat").input_ids == tokenizer("the cat", add_special_tokens=False).input_ids) == (
        BEGIN[name] is None
    )


@pytest.mark.parametrize("name", KINDS)
def test_what_begins_a_text_can_be_left_out_or_insisted_on(tokenizers, name):
    tokenizer = tokenizers[name]
    assert last_word.beginning(tokenizer, "never") == []
    assert encoded(tokenizer, "the cat", "sat", "never")[0] == written(name, ["the", "cat"], first=True)
    if name == "qwen":
        with pytest.raises(UserError, match=r"qwen has no token that begins a text.*bos: always.*: set it to auto or"):
            last_word.beginning(tokenizer, "always")
        return
    (begin,) = tokenizer.convert_ids_to_tokens(last_word.beginning(tokenizer, "always"))
    assert begin == (BEGIN[name] or "<|endoftext|>")


def test_a_token_that_ends_texts_does_not_stay(tokenizers):
    """Some tokenizers put one after every text, and the target would end with it."""
    tokenizer = tokenizers["llama2-legacy"]
    ending = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, bos_token="<s>", eos_token="</s>")
    ending.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    assert ending("the cat").input_ids[-1] == 2
    assert encoded(ending, "the cat", "sat") == encoded(tokenizer, "the cat", "sat")
    ending.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
    )
    assert encoded(ending, "the cat", "sat") == (["▁the", "▁cat"], ["▁sat"])


def test_white_space_before_the_word_goes_to_the_word(tokenizers):
    """As in lm-evaluation-harness."""
    assert encoded(tokenizers["gpt-neox"], "the cat\n", "sat") == (["the", "Ġcat"], ["Ċ", "Ġsat"])


def joining(normalizer=None):
    """A tokenizer whose token `b a` reaches over a space."""
    tokenizer = Tokenizer(
        models.BPE(vocab={"a": 0, "b": 1, " ": 2, "b ": 3, "b a": 4}, merges=[("b", " "), ("b ", "a")])
    )
    if normalizer:
        tokenizer.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_a_token_of_both_word_and_context_is_the_targets_first():
    found = last_word.encode(joining(), [], item("ab", "aa"), None)
    assert (found.prompt, found.target, found.merged) == ([0], [4, 0], True)
    apart = last_word.encode(joining(), [], item("aa", "aa"), None)
    assert (apart.prompt, apart.target, apart.merged) == ([0, 0], [2, 0, 0], False)


@pytest.mark.parametrize("name", ["gpt-neox", "llama3"])
def test_too_long_a_passage_loses_its_beginning_but_not_what_begins_the_text(tokenizers, name):
    tokenizer = tokenizers[name]
    begin = last_word.beginning(tokenizer, "auto")
    passage = item("the cat sat on the", "redcar")  # five tokens, and two of which one is read
    whole = last_word.encode(tokenizer, begin, passage, 6 + len(begin))
    assert (whole.shortened, len(whole.prompt)) == (False, 5 + len(begin))
    short = last_word.encode(tokenizer, begin, passage, 4 + len(begin))
    assert short.shortened
    assert short.prompt == begin + whole.prompt[-3:]
    assert short.target == whole.target
    least = last_word.encode(tokenizer, begin, passage, 2)
    assert least.prompt == (begin or whole.prompt[-1:])
    with pytest.raises(UserError, match="'redcar' of item passage7 has 2 tokens, too many for the 1 positions"):
        last_word.encode(tokenizer, begin, passage, 1)


def test_contexts_to_go_on_with_are_shortened_alike(tokenizers):
    tokenizer = tokenizers["llama3"]
    items = [item("the cat sat on the", "mat"), item("he", "went")]
    whole = last_word.contexts(tokenizer, [0], items, None)
    assert [tokenizer.decode(ids) for ids in whole] == ["<|begin_of_text|>the cat sat on the", "<|begin_of_text|>he"]
    assert last_word.contexts(tokenizer, [0], items, 3) == [[0, *whole[0][-2:]], whole[1]]
    with pytest.raises(UserError, match=r"positions leave 1 for the prompt: set a smaller `measure\.new_tokens`\.$"):
        last_word.contexts(tokenizer, [0], items, 1)


def test_a_passage_of_one_word_and_a_word_of_nothing_are_one_sentence(tokenizers):
    for context in ("", " \n"):
        with pytest.raises(
            UserError, match=r"nothing stands before the last word 'mat' of item passage7: leave the it"
        ):
            last_word.encode(tokenizers["gpt-neox"], [], item(context, "mat"), None)
    assert last_word.encode(tokenizers["llama3"], [0], item("", "mat"), None).prompt == [0]
    with pytest.raises(UserError, match="the last word '' of item passage7 is nothing to the tokenizer"):
        last_word.encode(joining(normalizers.Strip()), [], item("ab", ""), None)


def test_padding_comes_first_and_any_token_will_do(tokenizers):
    found = last_word.padded(tokenizers["opt"], [[5, 6, 7], [8]], "cpu")
    assert found["input_ids"].tolist() == [[5, 6, 7], [1, 1, 8]]
    assert found["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    for tokens, pad in (
        ({"pad_token_id": None, "eos_token_id": 2}, 2),
        ({"pad_token_id": None, "eos_token_id": None}, 0),
    ):
        assert last_word.padded(SimpleNamespace(**tokens), [[5, 6], [8]], "cpu")["input_ids"][1].tolist() == [pad, 8]


# --- the scores ---

PASSAGES = [
    ("the cat sat on the", "mat"),
    ("he", "went"),
    ("she saw the red car in the old house and he saw his friend on the", "redcar"),
    ("the dog and the cat", "catdogmat"),
    ("his old friend was at home, he said. “And?” she said", "to.”"),
    ("in the house", "12"),
]


@pytest.fixture(scope="module", params=tiny.TEXT_MAKERS)
def reader(request, tmp_path_factory):
    """A model with its tokenizer, and sixteen passages of very different lengths."""
    make, family = tiny.TEXT_MAKERS[request.param]
    folder = make(tmp_path_factory.mktemp(request.param))
    tokenizer = generation.load_tokenizer(folder)
    begin = last_word.beginning(tokenizer, "auto")
    items = [item(f"{'and he saw ' * (k % 5)}{a}", b, f"p{k}") for k, (a, b) in enumerate(PASSAGES * 3)][:16]
    passages = [last_word.encode(tokenizer, begin, one, 256) for one in items]
    return SimpleNamespace(
        model=checkpoint.load_original(folder, family, "float32"), tokenizer=tokenizer, passages=passages, folder=folder
    )


def score(reader, passages, size=16):
    batches = [passages[k : k + size] for k in range(0, len(passages), size)]
    return [row for b in batches for row in last_word.score(reader.model, reader.tokenizer, b, "cpu", "float32")]


def test_scores_are_those_of_the_definition(reader):
    """Each passage read whole and alone, and its numbers computed one by one, in float64."""
    for passage, (row, first) in zip(reader.passages, score(reader, reader.passages), strict=True):
        ids = passage.prompt + passage.target
        with torch.no_grad():
            logits = reader.model(torch.tensor([ids])).logits[0].double()
        logprob, likeliest = 0.0, []
        for place, token in enumerate(passage.target, start=len(passage.prompt)):
            chances = logits[place - 1].exp() / logits[place - 1].exp().sum()
            logprob += float(chances[token].log())
            likeliest.append(int(chances.argmax()))
        expected = sorted(logits[len(passage.prompt) - 1].tolist(), reverse=True)
        assert row.logprob == pytest.approx(logprob, rel=1e-4)
        assert row.greedy == (likeliest == passage.target)
        assert row.text == reader.tokenizer.decode(likeliest, skip_special_tokens=True).strip()
        assert abs(expected[row.rank - 1] - float(first[passage.target[0]])) < 1e-4
        assert torch.allclose(first.double(), logits[len(passage.prompt) - 1], atol=1e-4)
        assert (row.target_tokens, row.prompt_tokens) == (len(passage.target), len(passage.prompt))


def test_scores_are_the_same_alone_and_in_a_batch_of_16_in_float32(reader):
    together, alone = score(reader, reader.passages), score(reader, reader.passages, size=1)
    assert len({row.prompt_tokens for row, _ in alone}) > 5
    for (one, first), (other, second) in zip(together, alone, strict=True):
        assert (one.rank, one.greedy, one.text) == (other.rank, other.greedy, other.text)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert torch.allclose(first, second, atol=1e-4)
    assert len({row.rank for row, _ in alone}) > 8, "the ranks tell nothing"


def test_greedy_is_what_greedy_decoding_writes(reader):
    """And where only a later token differs, the first is the likeliest but the word is not."""
    for passage in reader.passages[:6]:
        given = last_word.padded(reader.tokenizer, [passage.prompt], "cpu")
        how = generation.decoding(reader.model, reader.tokenizer, 4)
        wrote = reader.model.generate(**given, generation_config=how)[0, len(passage.prompt) :].tolist()
        assert len(wrote) > 1
        other = [*wrote[:-1], (wrote[-1] + 1) % 300]
        passages = [last_word.Passage("p", passage.prompt, target, False, False) for target in (wrote, other)]
        (right, _), (wrong, _) = score(reader, passages)
        assert (right.rank, right.greedy) == (1, True)
        assert (wrong.rank, wrong.greedy) == (1, False)
        assert right.text == wrong.text == reader.tokenizer.decode(wrote, skip_special_tokens=True).strip()


def test_only_the_logits_that_are_needed_are_made(reader):
    given = last_word.padded(reader.tokenizer, [p.prompt for p in reader.passages], "cpu")
    with torch.no_grad():
        assert last_word._last_logits(reader.model, given, 3).shape[:2] == (16, 3)


def test_a_model_that_takes_neither_positions_nor_a_number_of_logits_is_scored_alike(reader):
    class Plain(torch.nn.Module):
        def forward(self, input_ids, attention_mask, use_cache):
            return reader.model(input_ids, attention_mask=attention_mask, use_cache=use_cache)

    for passage in reader.passages[:6]:
        ((expected, _),) = score(reader, [passage])
        ((found, _),) = last_word.score(Plain(), reader.tokenizer, [passage], "cpu", "float32")
        assert found.rank == expected.rank
        assert found.logprob == pytest.approx(expected.logprob, abs=1e-4)


def test_equal_logits_are_ranked_as_argmax_takes_them(reader):
    """A model that is broken to the same logits for all tokens is not right about every word."""
    vocabulary = reader.model.config.vocab_size
    passage = last_word.Passage("p", [1], [7], False, False)
    row, _ = last_word._scored(reader.tokenizer, passage, torch.zeros(1, vocabulary), "float32")
    assert row.rank == 1 + 7
    assert not row.greedy
    assert row.logprob == pytest.approx(-torch.tensor(float(vocabulary)).log().item())
    row, _ = last_word._scored(reader.tokenizer, passage, torch.arange(float(vocabulary))[None], "float32")
    assert row.rank == vocabulary - 7
    assert row.text == "", "the last rows of the matrix belong to no token"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_name_item_and_precision(reader, value):
    logits = torch.zeros(1, reader.model.config.vocab_size)
    logits[0, 5] = value
    passage = last_word.Passage("passage7", [1], [7], False, False)
    with pytest.raises(UserError, match=r"^gptq-2 gives logits that are no numbers for item passage7: take another"):
        last_word._scored(reader.tokenizer, passage, logits, "gptq-2")


def test_the_positions_are_the_models(reader):
    assert last_word.positions(reader.model) == 256
