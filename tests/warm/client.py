"""A `python` that has the scripts that load a model run by server.py, and every other by a new process."""

import json
import os
import socket
import sys

WARM = {
    "adopt_checkpoint.py",
    "audit_checkpoint.py",
    "audit_ready.py",
    "count_flops.py",
    "fetch_checkpoint.py",
    "fetch_model.py",
    "measure_efficiency.py",
    "predict.py",
    "predict_last_words.py",
    "quantize_model.py",
}
PYTHON, SERVER = "@python@", "@server@"

arguments = sys.argv[1:]
if not arguments or os.path.basename(arguments[0]) not in WARM:  # noqa: PTH119
    os.execv(PYTHON, [PYTHON, *arguments])
asked = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
body = json.dumps(asked).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect(SERVER)
    socket.send_fds(server, [len(body).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(body)
    status = server.recv(2)
sys.exit(int.from_bytes(status, "big", signed=True) & 255 if status else 1)
