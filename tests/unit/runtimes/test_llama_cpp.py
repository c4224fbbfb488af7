"""GGUF files of language models: made, run and audited, against the same models run by transformers."""

import dataclasses
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny_models as tiny
import torch

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.measuring import own_times
from bitbudget.measuring.phases import PhaseTimer
from bitbudget.models import checkpoint, group_files
from bitbudget.models.audit import stored as audit
from bitbudget.models.formats.base import GroupFile
from bitbudget.models.groups import READING
from bitbudget.runtimes.llama_cpp import model, promises
from bitbudget.runtimes.llama_cpp.model import LlamaCpp
from bitbudget.runtimes.transformers import generation, last_word

DEMO = Path(__file__).parents[3] / "demo" / "models" / "demo-lm"
PASSAGES = [
    {"id": "a", "question": "Tom had a red ball. He gave the ball to Ann. Now Ann has the", "references": ["ball"]},
    {"id": "b", "question": "The cat sat on", "references": ["mat"]},
    {"id": "c", "question": "Ben looks for his key. The key is in the", "references": ["garden"]},
]


def assignment(name: str) -> dict[str, Any]:
    """Everything that reads and writes in one format."""
    return {group: {"format": name} for group in READING}


def made(source: Path, family: Any, name: str, folder: Path, dtype: str = "float32") -> tuple[Path, GroupFile]:
    """A checkpoint of the model in this format, as quantize_model.py writes it but for its manifest."""
    model = checkpoint.original(source, family, dtype)
    [one] = group_files.make(model, family, assignment(name), source, folder, "cpu", None)
    return folder / one.files[0], one


def audited(path: Path, one: GroupFile, source: Path, family: Any) -> list[str]:
    """The faults that the audit finds in a file."""
    fmt = registry.format_of(one.spec["format"])
    original = checkpoint.original(source, family, "float32")
    layers, others = fmt.audited(one, original, family, path.parent, "cpu", lambda: None)
    return [layer.fault for layer in layers if layer.fault] + [row["fault"] for row in others if row["fault"]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("tiny") / "llama", hidden_size=256, intermediate_size=256)


def opened(path: Path, source: Path, exact: bool = True) -> tuple[Any, LlamaCpp]:
    """A model by transformers, with its weights rounded to float16, and by llama.cpp."""
    model = checkpoint.load_original(source, tiny.LLAMA, "float16").float()
    return model, LlamaCpp(path, model.config, model.generation_config, "cpu", exact)


@pytest.mark.parametrize("which", ["tiny", "demo"])
def test_last_words_are_as_likely_as_by_transformers(which: str, source: Path, tmp_path: Path) -> None:
    source = source if which == "tiny" else DEMO
    path, _ = made(source, tiny.LLAMA, "gguf-f16", tmp_path)
    model, theirs = opened(path, source, exact=which == "tiny")
    tokenizer = generation.load_tokenizer(source)
    begin = last_word.beginning(tokenizer, "auto")
    passages = [last_word.encode(tokenizer, begin, item, 200) for item in PASSAGES]
    found = last_word.score(theirs, tokenizer, passages, "cpu", "gguf-f16")
    wanted = last_word.score(model, tokenizer, passages, "cpu", "float32")
    for (mine, logits), (other, exact) in zip(found, wanted, strict=True):
        assert mine.logprob == pytest.approx(other.logprob, abs=1e-2)  # nats
        assert logits.shape == exact.shape


def test_many_rows_at_once_are_read_as_each_by_itself(tmp_path: Path) -> None:
    path, _ = made(DEMO, tiny.LLAMA, "gguf-f16", tmp_path)
    _, theirs = opened(path, DEMO)
    rows = [torch.randint(3, 900, (length,)).tolist() for length in range(20, 68)]
    inputs = last_word.padded(generation.load_tokenizer(DEMO), rows, "cpu")
    found = theirs(**inputs, logits_to_keep=2).logits
    for number in (0, 31, 47):
        alone = theirs(torch.tensor([rows[number]]), torch.ones(1, len(rows[number])), logits_to_keep=2).logits[0]
        torch.testing.assert_close(found[number], alone, rtol=0, atol=1e-3)


def test_answers_are_those_of_transformers(tmp_path: Path) -> None:
    path, _ = made(DEMO, tiny.LLAMA, "gguf-f16", tmp_path)
    model, theirs = opened(path, DEMO)
    tokenizer = generation.load_tokenizer(DEMO)
    texts = last_word.contexts(tokenizer, last_word.beginning(tokenizer, "auto"), PASSAGES, None)
    inputs = last_word.padded(tokenizer, texts, "cpu")
    for least in (0, 12):
        how = generation.decoding(model, tokenizer, 12, least)
        assert torch.equal(
            theirs.generate(**inputs, generation_config=how), model.generate(**inputs, generation_config=how)
        )
    with pytest.raises(UserError, match="num_beams"):
        theirs.generate(**inputs, generation_config=generation.decoding(model, tokenizer, 4, num_beams=2))


@pytest.mark.parametrize(
    "name", ["gguf-f16", "gguf-bf16", "gguf-q8_0", "gguf-q4_0", "gguf-q4_k_m", "gguf-q2_k", "gguf-iq4_xs"]
)
def test_untouched_files_pass(name: str, source: Path, tmp_path: Path) -> None:
    path, one = made(source, tiny.LLAMA, name, tmp_path)
    assert audited(path, one, source, tiny.LLAMA) == []
    assert set(one.told["types"]) - {"F32"} <= set(registry.format_of(name).types)
    assert sorted(tmp_path.iterdir()) == [path]


def test_what_falls_back_is_told_and_not_counted(tmp_path: Path) -> None:
    source = tiny.llama(tmp_path / "llama")  # 64 wide, and blocks have 256 weights
    path, one = made(source, tiny.LLAMA, "gguf-q4_k_m", tmp_path / "made")
    assert one.told["types"].keys() == {"Q5_0", "Q8_0", "F32"}
    original = checkpoint.original(source, tiny.LLAMA, "float32")
    layers, _ = registry.format_of("gguf-q4_k_m").audited(one, original, tiny.LLAMA, path.parent, "cpu", lambda: None)
    assert {layer.found for layer in layers} == {"gguf Q5_0", "gguf Q8_0"}
    assert not any(layer.fault for layer in layers)


def test_a_model_whose_queries_keys_and_values_are_one_matrix_passes(tmp_path: Path) -> None:
    source = tiny.gpt_neox(tmp_path / "neox")
    path, one = made(source, tiny.NEOX, "gguf-q8_0", tmp_path / "made")
    assert audited(path, one, source, tiny.NEOX) == []


HEADS = {"attn_q": 2, "attn_k": 1}


def zero_block(tensors: dict[str, Any]) -> None:
    tensors["blk.1.ffn_down.weight"].data[5, :18] = 0


def one_step(tensors: dict[str, Any]) -> None:
    tensors["blk.1.ffn_down.weight"].data[7, 2] ^= 0x8


def swap(tensors: dict[str, Any]) -> None:
    first, second = (tensors[f"blk.{layer}.attn_q.weight"].data for layer in (0, 1))
    first[:], second[:] = second.copy(), first.copy()


def rows_as_torch_has_them(tensors: dict[str, Any], blocks: tuple[int, ...] = (0, 1)) -> None:
    """Queries and keys whose rows are in the order of transformers, which llama.cpp takes for its own."""
    for name, heads in [(f"blk.{block}.{name}.weight", heads) for block in blocks for name, heads in HEADS.items()]:
        data = tensors[name].data
        data[:] = data.reshape(heads, -1, 2, data.shape[1]).swapaxes(1, 2).reshape(data.shape).copy()


def rows_of_a_block(tensors: dict[str, Any]) -> None:
    rows_as_torch_has_them(tensors, (1,))


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (zero_block, "1 of"),
        (one_step, "1 of"),
        (swap, "off by more than Q4_0"),
        (rows_as_torch_has_them, "gives logits"),
        (rows_of_a_block, "another order"),
    ],
)
def test_planted_faults_are_found(plant: Any, told: str, source: Path, tmp_path: Path) -> None:
    path, one = made(source, tiny.LLAMA, "gguf-q4_0", tmp_path)
    plant({tensor.name: tensor for tensor in gguf.GGUFReader(path, "r+").tensors})
    assert told in audited(path, one, source, tiny.LLAMA)[0]


def test_another_models_file_is_found(source: Path, tmp_path: Path) -> None:
    path, one = made(tiny.llama(tmp_path / "llama", seed=1, hidden_size=256, intermediate_size=256), tiny.LLAMA,
                     "gguf-q8_0", tmp_path / "made")  # fmt: skip
    assert len(audited(path, one, source, tiny.LLAMA)) > 10


def test_other_settings_are_found(source: Path, tmp_path: Path) -> None:
    path, one = made(source, tiny.LLAMA, "gguf-f16", tmp_path)
    field = gguf.GGUFReader(path, "r+").fields["llama.rope.freq_base"]
    field.parts[field.data[0]][0] = 3.0
    assert "gives logits" in audited(path, one, source, tiny.LLAMA)[0]


def test_a_file_of_another_kind_is_found(source: Path, tmp_path: Path) -> None:
    path, one = made(source, tiny.LLAMA, "gguf-q8_0", tmp_path)
    one = dataclasses.replace(one, spec={"format": "gguf-q4_0"})
    assert audited(path, one, source, tiny.LLAMA)[0] == "is in Q8_0, which a gguf-q4_0 file does not use"


def test_llama_cpp_counts_the_phases_that_are_seen_outside(tmp_path: Path) -> None:
    path, _ = made(DEMO, tiny.LLAMA, "gguf-q8_0", tmp_path)
    _, theirs = opened(path, DEMO)
    tokenizer = generation.load_tokenizer(DEMO)
    inputs = last_word.padded(tokenizer, [list(range(10, 90))], "cpu")
    how = generation.decoding(theirs, tokenizer, 40, 40)

    def answer(given: Any) -> None:
        theirs.generate(**given, generation_config=how)

    answer(inputs)
    found = own_times.compare(PhaseTimer(theirs, (), "cpu"), theirs, lambda: inputs, answer)
    for phase in ("prefill", "decode"):
        assert 0.2 * found[phase]["outside"] < found[phase]["own"] <= found[phase]["outside"]
    assert own_times.remarks("repeat 1", {"decode": {"own": 0.1, "outside": 0.105}}) == []
    assert own_times.remarks("repeat 1", {"decode": {"own": 0.1, "outside": 0.12}}) == [
        "repeat 1: of decode the runtime itself counts 100 ms where 120 ms passed outside it."
    ]


def test_an_architecture_that_llama_cpp_does_not_know_is_refused(tmp_path: Path) -> None:
    source = tiny.opt(tmp_path / "opt")
    with pytest.raises(UserError, match="does not know the architecture OPTForCausalLM"):
        made(source, tiny.OPT, "gguf-q8_0", tmp_path / "made")


def test_a_whole_checkpoint_is_saved_loaded_and_audited(source: Path, tmp_path: Path) -> None:
    from bitbudget import records

    model = checkpoint.original(source, tiny.LLAMA, "float32")
    folder, chosen = tmp_path / "checkpoint", assignment("gguf-q4_k_m")
    wholes = group_files.make(model, tiny.LLAMA, chosen, source, folder, "cpu", None)
    held = group_files.parameters(wholes, model.model, tiny.LLAMA)
    about = checkpoint.save(folder, source, model, [], {}, wholes, held)
    spec = {"family": "llama", "dtype": "float32", "assignment": chosen, "precision": "gguf-q4_k_m", "simulated": []}
    identity = {"study": "test", "model": "tiny", "precision": "gguf-q4_k_m"}
    body = {key: spec[key] for key in ("family", "dtype", "assignment")} | {"device": "cpu"} | about
    records.write(folder / checkpoint.MANIFEST, "checkpoint", identity, body)
    assert isinstance(checkpoint.load(folder, tiny.LLAMA, "cpu"), LlamaCpp)
    found = audit.audit(folder, source, tiny.LLAMA, spec, "cpu")
    assert found["coverage"] == 1
    assert found["weights_bytes_in_memory"] < about["size_on_disk_bytes"] == (folder / "language.gguf").stat().st_size


def test_blocks_are_held_to_the_range_of_their_weights() -> None:
    exact = np.linspace(-1, 1, 512, dtype=np.float32).reshape(2, 256)
    step = 2 * np.abs(exact.reshape(-1, 32)).max(1).repeat(32).reshape(2, 256) / 15
    assert promises.hold(np.round(exact / step) * step, exact, "Q4_0", 0).fault is None
    off = promises.hold(exact + step, exact, "Q4_0", 0)
    assert "off by more than Q4_0 explains in 16 of 16 blocks" in off.fault


def test_a_file_is_opened_with_no_more_room_than_two_batches_need(monkeypatch):
    opened = []

    class Opened:
        def __init__(self, path, positions, threads, sequences, device, exact):
            self.positions, self.threads, self.sequences = positions, threads, sequences
            opened.append((positions, sequences))
            if positions > 4096:
                raise UserError("no room")

        def forget(self): ...

        def close(self):
            self.closed = True

    monkeypatch.setattr(model, "Decoder", Opened)
    room = model.Room(None, "cpu", False)
    room.decoder(100, 32)
    assert room.decoder(200, 8) is room.decoder(90, 32)  # it fits
    room.decoder(4000, 1)  # not 32 of these
    assert opened == [(256, 32), (4096, 1)]
    with pytest.raises(UserError):
        room.decoder(8000, 1)
    assert room.decoder(100, 1).positions == 256  # the one that was closed is not used
