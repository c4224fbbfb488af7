"""Damage many small pictures of every format that Pillow can write, prepare each, and print what became of them.

Started by a test in a process of its own, so that its peak memory is that of the pictures:
`python fuzz_images.py FOLDER SEED NUMBER` prints JSON with `outcomes` by word, `slowest` in seconds of the processor,
`peak_mib`, `formats`, and `tracebacks`: what was no word on one picture.
"""

import io
import json
import random
import resource
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from PIL import Image

from bitbudget.errors import UserError
from bitbudget.items.images import UnreadableImage, prepare_image

MODES = ("RGB", "L", "P", "RGBA", "CMYK", "1", "I;16", "LA", "F", "I", "YCbCr", "LAB")
WAYS = {"TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"compression": "tiff_adobe_deflate"}]}
WITH_EXIF = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO")
ANIMATED = ("GIF", "PNG", "WEBP", "TIFF", "MPO")
NO_PICTURES = ("PDF", "EPS")  # pages: Pillow cannot open the one, and would start Ghostscript for the other


def samples():
    """Whole pictures as bytes, by a name that begins with the format."""
    Image.init()
    base = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    found = {}
    for form in sorted(set(Image.SAVE) - set(NO_PICTURES)):
        for mode in MODES if form != "AVIF" else ("RGB",):
            picture = base.convert("I").convert(mode) if mode == "I;16" else base.convert(mode)
            ways = [*WAYS.get(form, [{}]), *([{"save_all": True, "append_images": [picture]}] * (form in ANIMATED))]
            for number, way in enumerate(ways):
                about = {"exif": exif, "icc_profile": b"no profile"} if form in WITH_EXIF else {}
                stream = io.BytesIO()
                try:
                    picture.save(stream, form, **way, **about)
                except (OSError, ValueError, KeyError, TypeError, SystemError):
                    continue  # this format has no such pixels
                found[f"{form} {mode} {number}"] = stream.getvalue()
    return found


def damaged(data, chance):
    """The bytes cut off, changed, zeroed, filled or with a hole, more often than not in the first ones."""
    out, kind = bytearray(data), chance.randrange(6)
    place = chance.randrange(min(len(out), chance.choice((64, len(out)))))
    if kind == 0:
        return bytes(out[:place])
    if kind == 1:
        for _ in range(chance.choice((1, 3, 20))):
            out[chance.randrange(len(out))] = chance.randrange(256)
    elif kind == 2:
        out[place : place + 16] = bytes(16)
    elif kind == 3:
        out[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif kind == 4:
        out[place : place + 4] = b"\xff" * chance.choice((2, 4))  # a size that is giant
    else:
        del out[place : place + chance.choice((1, 4, 50))]
    return bytes(out)


def main():
    folder, seed, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance, known = random.Random(seed), samples()
    outcomes, tracebacks, slowest = Counter(), {}, 0.0
    for one in range(number):
        name = sorted(known)[one % len(known)]
        (folder / "in").write_bytes(damaged(known[name], chance))
        start = time.process_time()
        try:
            prepare_image(folder / "in", folder / "out", 40)
            outcome = "read"
        except UnreadableImage as fault:
            assert "\n" not in str(fault) and str(folder / "in") in str(fault)
            outcome = "unreadable"
        except (UserError, Exception):
            outcome = "traceback"
            tracebacks[name] = traceback.format_exc()[-600:]
        outcomes[outcome] += 1
        slowest = max(slowest, time.process_time() - start)
    said = {"outcomes": outcomes, "slowest": slowest, "tracebacks": tracebacks}
    said["formats"] = sorted({name.split()[0] for name in known})
    said["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
