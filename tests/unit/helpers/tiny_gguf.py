"""A small Llama as a GGUF file, written with llama.cpp's own package, and wheels that hold one."""

import zipfile
from pathlib import Path

import numpy as np

WIDTH, HEADS, KV_HEADS, LAYERS, INNER = 64, 2, 1, 2, 96


def write(path: Path, kind: str = "Q4_1", architecture: str = "llama", leave_out: str = "", even: bool = False) -> Path:
    """Write the file; matrices are of this kind, embeddings `Q8_0` where it is quantized, and norms float32.

    `even`: the norms are all of 1.
    """
    import gguf
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "Ġt", "he"]
    tokens += [f"<unused{number}>" for number in range(-len(tokens) % 64)]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ġ t", "h e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)

    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{layer}.{name}": (WIDTH, WIDTH) for name in ("attn_q", "attn_output")}
        shapes |= {f"blk.{layer}.{name}": (WIDTH * KV_HEADS // HEADS, WIDTH) for name in ("attn_k", "attn_v")}
        shapes |= {f"blk.{layer}.{name}": (INNER, WIDTH) for name in ("ffn_gate", "ffn_up")}
        shapes[f"blk.{layer}.ffn_down"] = (WIDTH, INNER)
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        values = rng.normal(scale=WIDTH**-0.5, size=shape).astype(np.float32)
        if name == leave_out:
            continue
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", np.ones_like(values) if even else 1 + values)
            continue
        of = "Q8_0" if name == "token_embd" and kind.startswith("Q") else kind
        held = gguf.GGMLQuantizationType[of]
        writer.add_tensor(f"{name}.weight", gguf.quantize(values, held), raw_dtype=held)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def wheel(folder: Path, name: str, version: str, contents: dict[str, bytes]) -> Path:
    """A wheel with these files, as pip takes it from a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path, about = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    contents = contents | {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
        f"{about}/LICENSE": b"whoever asks",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in contents.items():
            archive.writestr(inside, content)
    return path
