"""Write the study as it was resolved, with every default filled in."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from bitbudget import cli, files


def main() -> None:
    """Write the resolved study as YAML."""
    parser = cli.parser(__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the resolved study as JSON")
    parser.add_argument("--out", type=Path, required=True, help="study.resolved.yaml")
    args = parser.parse_args()
    head = "# Written by the workflow: the study with every default filled in. Edit config/studies/ instead.\n"
    files.write_text(args.out, head + yaml.safe_dump(args.study, sort_keys=False, allow_unicode=True))


if __name__ == "__main__":
    cli.run(main)
