"""Downloads against a server that misbehaves in every way that real ones do."""

import errno
import hashlib
import json
import re
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from small_disk import one_mib

from bitbudget.datasets import zipped
from bitbudget.errors import UserError
from bitbudget.fetching.download import CHUNK, download, download_many, taken_up

BODY = bytes(range(256)) * 4000  # about a megabyte: several chunks
BREAK = 18 * CHUNK  # where connections break: at the end of a chunk, so that nothing that arrived is lost
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server:
    """A web server in a thread; its attributes say how it behaves, `requests` what it was asked."""

    def __init__(self):
        self.body, self.etag, self.modified = BODY, '"one"', None
        self.ranges = True  # whether it knows Range
        self.honest = True  # whether it announces the length
        self.drop_after = []  # bytes after which each of the next answers breaks off (None: does not)
        self.statuses = []  # status of each of the next answers
        self.missing = ()  # paths that do not exist
        self.shift = 0  # starts ranges at the wrong byte
        self.minds = True  # whether it minds If-Range
        self.tells = ("etag", "modified")  # which validators it sends with a part
        self.total = None  # the total that it names with a part, where that is not the true one
        self.requests = []
        self.active = self.most_active = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with outer.lock:
                    outer.active += 1
                    outer.most_active = max(outer.most_active, outer.active)
                try:
                    outer.answer(self)
                finally:
                    with outer.lock:
                        outer.active -= 1

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, to):
        with self.lock:
            asked = to.headers.get("Range")
            self.requests.append((to.path, asked))
            status = self.statuses.pop(0) if self.statuses else 200
            drop = self.drop_after.pop(0) if self.drop_after else None
        if to.path in self.missing:
            status = 404
        if status != 200:
            to.send_response(status)
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        start = int(asked[6:-1]) if asked and self.ranges else 0
        condition = to.headers.get("If-Range")
        if self.minds and condition is not None and condition not in (self.etag, self.modified):
            start = 0
        if start >= len(self.body):
            to.send_response(416)
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        body = self.body[start:]
        to.send_response(206 if start else 200)
        if start:
            first = start + self.shift
            total = self.total or len(self.body)
            to.send_header("Content-Range", f"bytes {first}-{len(self.body) - 1}/{total}")
        if self.etag and (not start or "etag" in self.tells):
            to.send_header("ETag", self.etag)
        if self.modified and (not start or "modified" in self.tells):
            to.send_header("Last-Modified", self.modified)
        if self.honest:
            to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        to.wfile.write(body if drop is None else body[:drop])
        to.close_connection = True


@pytest.fixture
def server():
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


@pytest.fixture
def fetch(server, tmp_path):
    def run(name="file.bin", **options):
        options = {"retries": 3, "backoff": 0.0, "progress": lambda n: None, "sha256": SHA256} | options
        return download(f"{server.url}/{name}", tmp_path / "out" / name, partial=tmp_path / "partial", **options)

    return run


def left(tmp_path):
    return sorted(p.suffix for p in (tmp_path / "partial").iterdir())


def test_whole_file(fetch, server, tmp_path):
    seen = []
    assert fetch(progress=seen.append).read_bytes() == BODY
    assert sum(seen) == len(BODY) and server.requests == [("/file.bin", None)]
    assert left(tmp_path) == []


def test_dropped_connection_goes_on_where_it_broke(fetch, server, tmp_path):
    server.drop_after = [BREAK, 10 * CHUNK]
    seen = []
    assert fetch(progress=seen.append).read_bytes() == BODY
    ranges = [asked for _, asked in server.requests]
    assert ranges[0] is None and ranges[1] == f"bytes={BREAK}-" and ranges[2] == f"bytes={BREAK + 10 * CHUNK}-"
    assert sum(seen) == len(BODY)


def test_what_arrived_survives_the_process(fetch, server, tmp_path):
    server.drop_after = [BREAK]
    with pytest.raises(UserError, match=r"file\.bin cannot be fetched .* what has arrived is kept"):
        fetch(retries=0)
    assert left(tmp_path) == [".json", ".part"] and not (tmp_path / "out").exists()
    seen = []
    assert fetch(progress=seen.append).read_bytes() == BODY
    assert server.requests[-1] == ("/file.bin", f"bytes={BREAK}-")
    assert seen[0] == BREAK and sum(seen) == len(BODY)


def test_attempts_that_bring_something_do_not_count_as_failures(fetch, server):
    server.drop_after = [100_000] * 6
    assert fetch(retries=2).read_bytes() == BODY


def test_server_that_ignores_range_starts_again(fetch, server):
    server.ranges, server.drop_after = False, [BREAK]
    seen = []
    assert fetch(progress=seen.append).read_bytes() == BODY
    assert server.requests[1] == ("/file.bin", f"bytes={BREAK}-")
    assert sum(seen) == len(BODY)


@pytest.mark.parametrize("validator", ["etag", "modified"])
def test_file_that_changed_meanwhile_starts_again(fetch, server, validator):
    server.etag, server.modified = None, None
    setattr(server, validator, '"one"' if validator == "etag" else "Mon, 01 Jan 2024 00:00:00 GMT")
    server.drop_after = [BREAK]
    with pytest.raises(UserError):
        fetch(retries=0)
    server.body = bytes(reversed(BODY))
    setattr(server, validator, '"two"' if validator == "etag" else "Tue, 02 Jan 2024 00:00:00 GMT")
    assert fetch(sha256=None).read_bytes() == server.body


MONDAY, TUESDAY = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"
OTHER = bytes(reversed(BODY))  # another version, of the same length


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        # etag and date of the first version, those of the second, and how the server misbehaves
        (('"one"', None), ('"two"', None), {}),
        ((None, MONDAY), (None, TUESDAY), {}),
        (('"one"', MONDAY), ('"two"', TUESDAY), {}),
        (('"one"', MONDAY), ('"one"', TUESDAY), {}),
        (('"one"', MONDAY), ('"two"', MONDAY), {}),
        (('W/"one"', None), ('W/"one"', None), {}),  # weak: the same meaning, not the same bytes
        (('W/"one"', None), ('W/"two"', None), {}),
        (('W/"one"', MONDAY), ('W/"two"', MONDAY), {}),
        (('W/"one"', MONDAY), ('W/"one"', TUESDAY), {}),
        (('"one"', None), ('W/"one"', None), {}),
        (('"one"', MONDAY), (None, None), {}),
        (('"one"', MONDAY), ('"one"', MONDAY), {"tells": ()}),  # the rest is sent without any
        ((None, None), (None, None), {}),
        ((None, None), ('"two"', TUESDAY), {}),
        (('"one"', MONDAY), ('"one"', MONDAY), {"total": len(BODY) + 7}),
        (('"one"', None), ('"one"', None), {"total": "*"}),
    ],
)
def test_two_versions_are_never_sewn_together_by_a_server_that_ignores_if_range(fetch, server, before, after, more):
    """No checksum is known, and the new version is as long as the old one: only the validators can tell."""
    server.minds, (server.etag, server.modified) = False, before
    server.drop_after = [BREAK]
    with pytest.raises(UserError):
        fetch(retries=0, sha256=None)
    server.body, (server.etag, server.modified) = OTHER, after
    for name, value in more.items():
        setattr(server, name, value)
    assert fetch(sha256=None).read_bytes() == OTHER


@pytest.mark.parametrize(
    ("etag", "modified", "tells"),
    [
        ('"one"', None, ("etag",)),
        (None, MONDAY, ("modified",)),
        ('"one"', MONDAY, ("etag",)),  # as RFC 9110 asks of an answer to If-Range
        ('"one"', MONDAY, ("modified",)),
        ('W/"one"', MONDAY, ("etag", "modified")),
    ],
)
def test_the_same_version_is_gone_on_with(fetch, server, etag, modified, tells):
    server.etag, server.modified, server.tells, server.drop_after = etag, modified, tells, [BREAK]
    assert fetch(sha256=None).read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, f"bytes={BREAK}-"]


def test_where_a_checksum_will_tell_a_server_without_validators_is_gone_on_with(fetch, server):
    server.etag, server.drop_after = None, [BREAK]
    assert fetch().read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, f"bytes={BREAK}-"]


@pytest.mark.parametrize("notes", [b"", b"[]", b'"x"', b"\xff", b'{"etag": "\\"one\\""', b"null"])
def test_damaged_notes_mean_that_the_file_starts_again(fetch, server, tmp_path, notes):
    server.drop_after = [BREAK]
    with pytest.raises(UserError):
        fetch(retries=0)
    next((tmp_path / "partial").glob("*.json")).write_bytes(notes)
    assert fetch(sha256=None).read_bytes() == BODY
    assert server.requests[-1] == ("/file.bin", None)


def test_after_another_boot_only_what_was_flushed_is_gone_on_with(fetch, server, tmp_path, monkeypatch):
    """What a power cut left behind the last flush may be zeros."""
    monkeypatch.setattr("bitbudget.fetching.download.FLUSHED", 4 * CHUNK)
    server.drop_after = [BREAK]
    with pytest.raises(UserError):
        fetch(retries=0)
    part = next((tmp_path / "partial").glob("*.part"))
    part.write_bytes(BODY[: 16 * CHUNK] + bytes(BREAK - 16 * CHUNK))
    monkeypatch.setattr("bitbudget.system.verified.boot", lambda: "another")
    assert fetch(sha256=None).read_bytes() == BODY
    assert server.requests[-1] == ("/file.bin", f"bytes={16 * CHUNK}-")


def test_a_full_disk_names_the_file_that_arrives(server, tmp_path):
    server.body = BODY * 2
    with one_mib(tmp_path) as small, pytest.raises(OSError) as caught:
        download(f"{server.url}/x", small / "x", partial=small / "p", retries=0, progress=lambda n: None)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename.startswith(str(small / "p"))


@pytest.mark.parametrize("length", [len(BODY) - 1000, 200_000])
def test_without_validator_another_length_starts_again(fetch, server, length):
    """The rest of a file of another length (206), or none of it (416), is never joined to the old beginning."""
    server.etag, server.drop_after = None, [BREAK]
    with pytest.raises(UserError):
        fetch(retries=0)
    server.body = bytes(reversed(BODY))[:length]
    assert fetch(sha256=None).read_bytes() == server.body


def test_nothing_to_go_by_starts_again(fetch, server):
    server.etag, server.honest, server.drop_after = None, False, [BREAK]
    assert fetch(sha256=None).read_bytes() == BODY[:BREAK]  # no length, no checksum: nobody could have noticed
    server.drop_after = [BREAK]
    with pytest.raises(UserError, match="SHA-256"):
        fetch()
    assert all(asked is None for _, asked in server.requests)


def test_wrong_part_is_refused(fetch, server):
    server.shift, server.drop_after = 5, [BREAK]
    assert fetch().read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, f"bytes={BREAK}-", None]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_server_trouble_is_retried(fetch, server, status):
    server.statuses = [status, status]
    assert fetch().read_bytes() == BODY
    assert len(server.requests) == 3


def test_lasting_server_trouble_ends_in_a_sentence(fetch, server):
    server.statuses = [500] * 10
    with pytest.raises(UserError, match=r"the server answers 500, 4 times in a row") as fault:
        fetch()
    assert len(server.requests) == 4 and "\n" not in str(fault.value)


def test_waits_grow_exponentially(fetch, server, monkeypatch):
    mine, sleep, waits = threading.get_ident(), time.sleep, []
    # a thread of another test's library would fill the memory with its own
    monkeypatch.setattr(time, "sleep", lambda s: (waits.append if threading.get_ident() == mine else sleep)(s))
    server.statuses = [500] * 4
    fetch(retries=4, backoff=0.5)
    assert waits == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [404, 403])
def test_missing_file_is_not_retried(fetch, server, status):
    server.statuses = [status]
    with pytest.raises(UserError, match=rf"file\.bin .*the server answers {status}"):
        fetch()
    assert len(server.requests) == 1


def test_wrong_checksum_names_both_and_the_remedy(fetch, server, tmp_path):
    server.body = BODY[:-1] + b"x"
    found = hashlib.sha256(server.body).hexdigest()
    with pytest.raises(UserError, match=f"{found} where {SHA256} is expected.*run again"):
        fetch()
    assert left(tmp_path) == [] and not (tmp_path / "out").exists()
    server.body = BODY
    assert fetch().read_bytes() == BODY


def test_complete_part_is_not_fetched_again(fetch, server, tmp_path):
    """Killed between the last byte and the renaming."""
    server.drop_after = [BREAK]
    with pytest.raises(UserError):
        fetch(retries=0)
    part = next(p for p in (tmp_path / "partial").iterdir() if p.suffix == ".part")
    part.write_bytes(BODY)
    asked_before = len(server.requests)
    assert fetch().read_bytes() == BODY and len(server.requests) == asked_before


def test_nobody_listens(tmp_path, server):
    server.http.server_close()
    with pytest.raises(UserError, match="there was no connection, 2 times in a row"):
        download(f"{server.url}/x", tmp_path / "x", partial=tmp_path / "p", retries=1, backoff=0.0)


def test_address_that_is_none(tmp_path):
    with pytest.raises(UserError, match="is not a web address"):
        download("nowhere", tmp_path / "x", partial=tmp_path / "p")


def test_many_skips_what_is_there_and_keeps_to_the_limit(server, tmp_path):
    (tmp_path / "3").write_bytes(b"mine")
    pairs = [(f"{server.url}/{n}", tmp_path / str(n)) for n in range(12)]
    download_many(pairs, at_most=3, partial=tmp_path / "partial")
    assert (tmp_path / "3").read_bytes() == b"mine"
    assert all((tmp_path / str(n)).read_bytes() == BODY for n in range(12) if n != 3)
    assert len(server.requests) == 11 and server.most_active <= 3
    download_many(pairs, at_most=3, partial=tmp_path / "partial")
    assert len(server.requests) == 11


def test_many_collects_failures_and_keeps_the_rest(server, tmp_path):
    server.missing = ("/2", "/5", "/9")
    pairs = [(f"{server.url}/{n}", tmp_path / str(n)) for n in range(12)]
    with pytest.raises(
        UserError, match=r"/(2|5|9) does not exist .*; 2 more failed: what was fetched is kept"
    ) as fault:
        download_many(pairs, at_most=4, partial=tmp_path / "partial")
    assert "\n" not in str(fault.value)
    assert sum((tmp_path / str(n)).exists() for n in range(12)) == 9


def test_many_gives_up_when_everything_fails(server, tmp_path):
    server.missing = tuple(f"/{n}" for n in range(200))
    pairs = [(f"{server.url}/{n}", tmp_path / str(n)) for n in range(200)]
    with pytest.raises(UserError, match=r"19 more failed, and 180 were not tried any more"):
        download_many(pairs, at_most=2, partial=tmp_path / "partial")
    assert len(server.requests) < 60


def in_a_zip(tmp_path):
    """A zip of one text that is packed, and where its packed bytes begin."""
    path = tmp_path / "annotations.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("a.json", json.dumps(list(range(5000))))
    return path


def reading(path, tmp_path):
    with taken_up(path, "http://x is no whole zip"), zipfile.ZipFile(path) as content:
        return zipped.extract(content, "a.json", tmp_path / "out" / "a.json")


@pytest.mark.parametrize("at", [0, 2, 4, 6, 8, 10, 14, 26, 30, 36, 60, 2000, -80, -60, -40, -22, -20, -12, -6, -2])
@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_a_damaged_zip_is_one_sentence_and_not_taken_up_again(at, value, tmp_path):
    """What a reader raises of damaged bytes is anything: a bad checksum, an unknown method, an end that is none."""
    path = in_a_zip(tmp_path)
    content = bytearray(path.read_bytes())
    content[at] = value
    path.write_bytes(content)
    try:
        reading(path, tmp_path)  # some bytes of a zip mean nothing to a reader
    except UserError as fault:
        assert re.fullmatch(
            r"http://x is no whole zip \(.+\); check the address and run again\.", str(fault), re.DOTALL
        )
        assert "\n" not in str(fault) and not path.exists()
    else:
        assert json.loads((tmp_path / "out/a.json").read_text()) == list(range(5000))


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "x"), OSError(errno.EACCES, "x"), MemoryError(), TypeError("a bug")]
)
def test_what_the_machine_lacks_does_not_cost_the_download(fault, tmp_path):
    path = in_a_zip(tmp_path)
    with pytest.raises(type(fault)), taken_up(path, "x is no whole zip"):
        raise fault
    assert path.exists()
