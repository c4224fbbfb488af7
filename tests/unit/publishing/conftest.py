"""Made-up studies for the tests of what is published."""

import json

import pytest

import made_results


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Build studies once each, by their arguments."""
    folder, known = tmp_path_factory.mktemp("studies"), {}

    def build(**about):
        key = json.dumps(about, sort_keys=True)
        if key not in known:
            known[key] = made_results.build(folder / str(len(known)), **about)
        return known[key]

    return build
