"""First on PYTHONPATH, this makes a Python that has what envs/detection.yaml has: no torch and nothing built on it."""

import sys

sys.modules.update(dict.fromkeys(("litert_torch", "torch", "torchao", "transformers")))
