"""Ten thousand uploads that are wrong in some way: each is refused in words, none breaks the server, none leaves a row."""

import gzip
import json
from collections import Counter

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fathom.harness.db.schema.runs import CellRow, RunRow, SampleRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.server.web.bodies import UploadSlots
from fathom.tasks.stream import Stream
from fathom.tasks.suites import Selection
from tests.server.uploads.test_api import URL, open_home, play

pytestmark = pytest.mark.slow

N_CASES = {False: 1_000, True: 10_000}
"""Refused uploads, by whether --full is given."""
TINY = Selection(levels=("n4k1",), styles=("direct", "choice"), n=2)

VALUES = (
    None, True, False, 0, 1, -1, 7, 2**31, 2**63, 10**30, 0.5, -1e308, "", "0", "a", "\x00", "\u202e", "é" * 9, [], [1],
    [[]], {}, {"a": 1}, {"": {"": {"": []}}}, "../../etc/passwd", "<script>", "'; DROP TABLE runs; --", "2026", "x" * 5000,
    [0.0] * 9, [None], "error", "stop", "too_long", "reference/pebble", "org/name", "f" * 32, "c" * 40,
)  # fmt: skip
RAW = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"[" * 3000, b"{" * 3000, b'{"a":' * 3000, b'"\\ud800"',
    b'"\\u0000"', b"\xff\xfe", b"\xef\xbb\xbf", b"null", b"", b" ", b"\n", b"\n\n", b"\r\n", b"\x1f\x8b", b"{}", b"[]",
    b"0x10", b"'a'", b"tru", b"//", b'"' * 99, b"\0" * 99, b"x" * 600_000, b"--B\r\n", b"--B--\r\n",
)  # fmt: skip


def pick(stream, options):
    return options[stream.below(len(options))]


def change_value(stream, lines):
    at = stream.below(len(lines))
    name = pick(stream, list(lines[at]))
    lines[at] = lines[at] | {name: pick(stream, VALUES)}


def change_inside(stream, lines):
    """Change something within the manifest or the cells."""
    node = lines[0].get(pick(stream, ("manifest", "cells")))
    for _ in range(6):
        if not isinstance(node, dict | list) or not node:
            return
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = pick(stream, keys)
        if stream.below(3) == 0 or not isinstance(node[key], dict | list):
            node[key] = pick(stream, VALUES)
            return
        node = node[key]


def drop_field(stream, lines):
    at = stream.below(len(lines))
    lines[at] = {name: value for name, value in lines[at].items() if stream.below(4)} or {"a": 1}


def drop_line(stream, lines):
    del lines[stream.below(len(lines))]


def double_line(stream, lines):
    lines.insert(stream.below(len(lines) + 1), pick(stream, lines))


def swap_lines(stream, lines):
    one, other = stream.below(len(lines)), stream.below(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def flip(stream, data):
    at = stream.below(len(data))
    return data[:at] + bytes([data[at] ^ 1 << stream.below(8)]) + data[at + 1 :]


def cut(stream, data):
    return data[: stream.below(len(data))]


def put(stream, data):
    at = stream.below(len(data) + 1)
    return data[:at] + pick(stream, RAW) + data[at + stream.below(3) :]


def repeat(stream, data):
    start = stream.below(len(data))
    return data + data[start : start + stream.below(2000)]


def noise(stream, data):
    return bytes(stream.below(256) for _ in range(stream.below(300)))


SHAPES = (change_value, change_value, change_inside, drop_field, drop_line, double_line, swap_lines)
BYTES = (flip, cut, put, repeat)


def make_body(stream, lines):
    """Return a mutated parcel: its values, its text, its packing. The model is another each time: none is a repetition."""
    mine = json.loads(json.dumps(lines))
    mine[0]["model"] = f"org/noisy-{stream.below(10**9)}"
    n_shapes = stream.below(3)
    for _ in range(n_shapes):
        pick(stream, SHAPES)(stream, mine)
        if not mine:
            break
    data = b"".join(json.dumps(line).encode() + b"\n" for line in mine) or b"\n"
    for _ in range(stream.below(3) if n_shapes else 1):
        data = pick(stream, BYTES)(stream, data) or b"\n"
    if stream.below(20) == 0:
        data = noise(stream, data)
    if stream.below(2):
        data = gzip.compress(data, 1)
        if stream.below(2):
            data = pick(stream, BYTES)(stream, data)
    return data


def as_form(stream, data, csrf):
    csrf = csrf if stream.below(8) else "wrong"
    body = f'--B\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n--B\r\n'.encode()
    body += b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + data + b"\r\n--B--\r\n"
    return pick(stream, BYTES)(stream, body) if stream.below(2) else body


async def pieces(data, size):
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def send(client, stream, lines, csrf):
    data = make_body(stream, lines)
    headers = {"Content-Encoding": pick(stream, ("gzip", "br", "x"))} if stream.below(10) == 0 else {}
    size = pick(stream, (1 << 20, 4000, 500))
    if stream.below(4):
        return await client.post("/api/v1/results", content=pieces(data, size), headers=headers)
    kinds = ("multipart/form-data; boundary=B",) * 8 + (
        "multipart/form-data",
        "text/plain",
        "multipart/form-data; boundary=",
    )
    headers |= {"Content-Type": pick(stream, kinds)}
    return await client.post("/submit/results", content=pieces(as_form(stream, data, csrf), size), headers=headers)


@pytest.mark.turns(2)
def test_thousands_of_malformed_uploads_are_refused_in_words(tmp_path, run_async, request):
    n_cases = N_CASES[request.config.getoption("--full")]
    _, lines = play(f"sqlite:///{tmp_path / 'made.db'}", TINY)
    home = open_home(tmp_path)
    home.app.state.uploads = UploadSlots(hourly=n_cases * 2)
    db = home.db
    seen, bad = Counter(), []

    async def run():
        stream = Stream("fuzz", 1)
        transport = httpx.ASGITransport(home.app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url=URL, headers=home.headers()) as client:
            while sum(n for status, n in seen.items() if status >= 400) < n_cases:
                answer = await send(client, stream, lines, home.csrf)
                seen[answer.status_code] += 1
                if answer.status_code >= 500:
                    bad.append(answer.text)

    run_async(run())
    print(f"{sum(seen.values())} uploads, by status: {dict(sorted(seen.items()))}")
    assert not bad
    assert {403, 413, 422} <= set(seen) <= {201, 303, 403, 413, 422}
    with Session(db) as session:
        n_taken = seen[201] + seen[303]
        counts = [session.scalar(select(func.count()).select_from(one)) for one in (SubmissionRow, RunRow)]
        assert counts == [n_taken, n_taken]
        assert session.scalar(select(func.count()).select_from(SampleRow)) == 4 * n_taken
        assert session.scalar(select(func.count()).select_from(CellRow)) == 2 * n_taken
    db.dispose()
