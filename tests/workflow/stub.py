"""What stands in for every script of the workflow in these tests: it writes the files that the script would write.

Each call is noted in `stub.log`: script, what it wrote, start and end, the Python that ran it, and the PATH. STUB_SLEEP
names scripts that take their time, as `predict=0.3,measure_efficiency=0.2`; STUB_HOLD names one that works until there
is a file `stub.go`, STUB_MEET one that works until another is at work beside it, and STUB_FAIL one that fails.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

LONGEST = 600  # seconds that a stand-in is held at most, should its test have died
MEETING = 30  # seconds that one waits for another
LOGS = ("stub.started", "stub.log")
COSTS = ("size", "latency", "memory", "energy")
WITH_RECORD = (
    "predict",
    "predict_last_words",
    "detect",
    "select_shots",
    "select_calibration",
    "select_calibration_images",
)
FOLDERS = (
    "fetch_dataset", "fetch_model", "quantize_model", "convert_detector", "export_detector", "quantize_detector",
)  # fmt: skip
ONE_FIGURE = {
    "plot_breakdown": "quality_by_type",
    "plot_detections": "detections",
    "plot_comparison": "quality_delta",
    "plot_ablation": "ablation",
}


def main(script: str) -> None:
    """Do as the script of this name would, given the command line of this process."""
    start = time.time()
    name = Path(script).stem
    options = dict(_options(sys.argv[1:]))
    print(f"{name} is at work", file=sys.stderr)
    with Path("stub.started").open("a") as log:
        log.write(f"{name}\n")
    time.sleep(dict(_sleeps()).get(name, 0.0))
    while os.environ.get("STUB_HOLD") == name and not Path("stub.go").exists() and time.time() < start + LONGEST:
        time.sleep(0.05)
    while os.environ.get("STUB_MEET") == name and _at_work() < 2 and time.time() < start + MEETING:
        time.sleep(0.05)
    if os.environ.get("STUB_FAIL") == name:
        sys.exit(f"error: {name} was told to fail.")
    outputs = [option for option in options if option.startswith("--out")]
    if name in WITH_RECORD:
        outputs.append("--record")
    for option in outputs:
        _write(name, option, options[option], options)
    note = {"rule": name, "wrote": options[outputs[0]], "start": start, "end": time.time()}
    note |= {"python": os.environ.get("PYTHON_OF_CONDA", sys.executable), "path": os.environ["PATH"]}
    with Path("stub.log").open("a") as log:
        log.write(json.dumps(note) + "\n")


def _at_work() -> int:
    """How many stand-ins were started and have not come to their end."""
    started, ended = (Path(name).read_text().count("\n") if Path(name).exists() else 0 for name in LOGS)
    return started - ended


def _options(arguments: list[str]) -> Iterator[tuple[str, str]]:
    for number, argument in enumerate(arguments):
        if argument.startswith("--"):
            yield argument, arguments[number + 1]


def _sleeps() -> Iterator[tuple[str, float]]:
    for entry in filter(None, os.environ.get("STUB_SLEEP", "").split(",")):
        name, seconds = entry.split("=")
        yield name, float(seconds)


def _write(name: str, option: str, path: str, options: dict[str, str]) -> None:
    if name == "plot_figures":
        Path(path).mkdir(parents=True, exist_ok=True)
        for figure in ("quality", "throughput", *COSTS, *(f"quality_vs_{cost}" for cost in COSTS)):
            for form in ("svg", "png"):
                _text(f"{path}/{figure}.{form}", figure)
    elif name in ONE_FIGURE:
        for form in ("svg", "png"):
            _text(f"{path}/{ONE_FIGURE[name]}.{form}", name)
    elif option == "--out-dir" or (option == "--out" and name in FOLDERS):
        Path(path).mkdir(parents=True, exist_ok=True)
        _text(f"{path}/made", name)
    elif name == "summarize_study":
        spec = json.loads(options["--spec"])
        head = f"model,condition,precision,{spec['primary']},size_on_disk_MB,latency_median_s,decode_tokens_per_s\n"
        _text(path, head + "".join(f"demo-vlm,zero-shot,{precision},1,2,3,4\n" for precision in spec["precisions"]))
    elif name == "resolve_study":
        _text(path, options["--study"])
    elif name == "score_blind":
        primary = json.loads(options["--spec"])["primary"]
        _text(path, json.dumps({"metrics": {primary: {"value": 0.1}}}))
    else:
        _text(path, name)


def _text(path: str, text: str) -> None:
    Path(path).write_text(text)
