"""Text from models and strangers stays text, and stays small."""

import csv
import html
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.format import visible
from fathom.harness.records import SampleFilter

pytestmark = pytest.mark.cases(None)

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"'><img src=x onerror=alert(1)>",
    "bidi": "safe\u202egnp.exe\u2066\u200f",
    "control": "bell\x07 escape\x1b[31m null\x00 delete\x7f next\x85 end\ufffe",
    "template": "{{ 7 * 7 }}{% raw %}${7*7}",
    "line": "x" * 1_000_000,
    "surrogate": "lone \ud800 surrogate",
    "formula": '=HYPERLINK("http://evil")',
    "markup": "]]><!--</svg></title></textarea></pre><style>*{display:none}</style>&amp;&lt;",
}
HIDDEN = re.compile(
    "[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00-\x08\x0b-\x1f\x7f-\x9f\ufdd0\ufffe\ufeff\ud800-\udfff]"
)
LARGEST = 300_000
"""Bytes of a page whatever strangers wrote."""


@pytest.fixture(scope="module", params=HOSTILE.values(), ids=HOSTILE.keys())
def stage(request, browse, write_run, tmp_path_factory):
    """A board where one text stands wherever a stranger can put it: a client, the text, and all addresses."""
    url = f"sqlite:///{tmp_path_factory.mktemp('hostile') / 'runs.db'}"
    db = open_database(url, create=True)
    text, name = request.param, write.storable(request.param)
    whole = {
        "model": name, "texts": (text, f"{text}\n{text}"), "label": name[:60], "parsed": text, "dtype": name, "kind": name,
        "manifest": {"decisive": {"model": {text: text}}, "context": text, "engine_facts": [text]},
    }  # fmt: skip
    write_run(db, write_run.story(model="org/other", texts=(" AB",) * 2, n_right=2, dtype="float32", kind="base"))
    done = write_run(db, write_run.story(**whole))
    failed = write_run(db, write_run.story(**whole, state="failed", error=name, log=name))
    detail = read.get_run(db, done)
    sample = read.get_samples(db, detail, SampleFilter()).samples[0].id
    key = f"~{detail.summary.model_id}"
    db.dispose()
    return (
        browse(url),
        name,
        {"done": done, "failed": failed, "sample": sample, "key": key, "pair": f"m={key}&m=org/other"},
    )


class Elements(HTMLParser):
    """What a browser would make of a page that could run or fetch something."""

    harmful = ()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        own = all(
            found.get(name, "/").startswith(("/", "#", "?", "mailto:")) for name in ("src", "href", "srcset", "action")
        )
        script = tag == "script" and not re.fullmatch(r"/static/\w+\.js", found.get("src", ""))
        if script or not own or tag in ("style", "iframe", "object", "base") or any(name[:2] == "on" for name in found):
            self.harmful = (*self.harmful, (tag, attributes))


def harm_in(page):
    parser = Elements()
    parser.feed(page)
    return parser.harmful


PAGES = (
    "/", "/?family=depo", "/?q=o&sort=model&columns=depo", "/models/{key}", "/models/{key}?run={failed}", "/compare?{pair}",
    "/compare?m={key}&m={key}", "/compare/items?{pair}&cell=depo/n4k1/symbol/direct", "/runs", "/runs/{done}",
    "/runs/{failed}", "/runs/{done}/samples", "/runs/{done}/samples/{sample}", "/compare?m={key}",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_foreign_text_is_inert_on_every_page(stage, page):
    client, _, names = stage
    answer = client.get(page.format(**names))
    assert answer.status_code == 200
    assert harm_in(answer.text) == ()
    for forbidden in ("</svg></title>", "<!--", "$49"):
        assert forbidden not in answer.text
    assert not re.search(r">49(?![0-9a-f])", answer.text)  # 7 * 7; a run's number may begin so
    assert not HIDDEN.search(answer.text)
    assert len(answer.content) < LARGEST


def test_a_hostile_name_leads_to_its_page_by_number(stage):
    client, name, names = stage
    assert f'href="/models/{names["key"]}"' in client.get("/").text
    shown = html.unescape(re.findall(r"<h1><bdi>(.*?)</bdi>", client.get(f"/models/{names['key']}").text, re.DOTALL)[0])
    assert shown[:5] == visible(name)[:5]


@pytest.mark.parametrize(
    "picture",
    ["/badge/{key}.svg"]
    + [
        f"/pictures/{rest}&family=depo&ladder=main&channel=symbol&theme={theme}"
        for rest in ("curves.svg?run={done}", "mistakes.svg?run={done}&style=direct")
        for theme in ("light", "dark")
    ]
    + ["/pictures/curves.svg?run={done}&run={failed}&family=depo&ladder=main&channel=symbol&style=direct"],
)
def test_foreign_text_is_inert_in_pictures(stage, picture):
    client, _, names = stage
    answer = client.get(picture.format(**names))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for element in ET.fromstring(answer.content).iter():
        assert element.tag.rpartition("}")[2] in (
            "svg",
            "g",
            "path",
            "rect",
            "line",
            "text",
            "title",
            "desc",
            "defs",
            "style",
            "clipPath",
            "circle",
            "tspan",
        )
        assert not any(name.lower().startswith("on") or "javascript:" in value for name, value in element.items())
    assert not HIDDEN.search(answer.text)
    assert len(answer.content) < LARGEST


def test_foreign_text_is_inert_in_feeds(stage):
    client, _, names = stage
    for address in ("/feed.atom", f"/feed.atom?model={names['key']}"):
        answer = client.get(address)
        feed = ET.fromstring(answer.content)
        assert {element.tag.rpartition("}")[2] for element in feed.iter()} == {
            "feed", "title", "id", "updated", "entry", "link", "author", "name", "summary"
        }  # fmt: skip
        assert not HIDDEN.search(answer.text)
        assert len(answer.content) < LARGEST


@pytest.mark.parametrize(
    "address",
    [
        "/board.csv", "/board.json", "/compare.csv?{pair}", "/runs/{done}/samples.csv", "/runs/{done}/samples.jsonl",
        "/board.parquet",
    ],
)  # fmt: skip
def test_foreign_text_in_files_is_whole_and_is_only_taken_along(stage, address):
    client, name, names = stage
    answer = client.get(address.format(**names))
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    if address == "/runs/{done}/samples.jsonl":
        assert json.loads(answer.text.partition("\n")[0])["completion"] == name
    if address == "/board.json":
        assert {one["model"] for one in answer.json()} == {name, "org/other"}
    if address.endswith("samples.csv"):
        csv.field_size_limit(10_000_000)
        row = next(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert row["completion"] == (f"'{name}" if name[0] == "=" else name)


@pytest.mark.parametrize(
    "address",
    [
        "board", "models", "models/{key}", "runs", "runs/{done}", "runs/{failed}", "runs/{done}/samples",
        "runs/{done}/samples/{sample}", "compare?{pair}",
    ],
)  # fmt: skip
def test_foreign_text_in_the_api_is_json_and_nothing_else(stage, address):
    client, name, names = stage
    answer = client.get(f"/api/v1/{address.format(**names)}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert name in _texts(answer.json())


def _texts(value):
    """Return all texts within a JSON value."""
    if isinstance(value, dict | list):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return {text for one in inner for text in _texts(one)}
    return {value}


def test_a_printable_label_can_be_filtered_by_and_no_other(browse, fresh, write_run):
    db, url = fresh
    runs = {label: write_run(db, write_run.story(label=label)) for label in ('<b>"&amp;</b>', "a\u202eb")}
    client = browse(url)
    found = [client.get(f"/runs/{run}/samples", params={"label": label}).status_code for label, run in runs.items()]
    assert found == [200, 404]


def test_a_long_completion_is_cut_and_the_page_says_by_how_much(browse, fresh, write_run):
    db, url = fresh
    run = write_run(db, write_run.story(texts=("x" * 1_000_000,)))
    assert "996,000 characters in the middle are left out" in browse(url).get(f"/runs/{run}/samples").text


def test_hidden_characters_are_shown_as_escapes(browse, fresh, write_run):
    db, url = fresh
    run = write_run(db, write_run.story(model="a\u202eb", texts=("c\u2066d\x07",)))
    client = browse(url)
    assert r"a\u202eb" in client.get("/").text
    assert r"c\u2066d\x07" in client.get(f"/runs/{run}/samples").text


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "{{ 7 * 7 }}"])
def test_what_an_address_asks_for_comes_back_inert(board, text):
    pages = [
        board.get(address, params=params)
        for address, params in (
            (f"/{text}", {}), (f"/runs/{text}", {}), (f"/models/{text}", {}), (f"/families/{text}", {}), ("/", {"q": text}),
            ("/", {"sort": text}), ("/", {"engine": text}), ("/", {text: "1"}), ("/", {"style": text}), ("/", {"page": text}),
            ("/compare", {"m": text}), ("/compare", {"m": [text, "b"]}), ("/compare", {"m": ["a", "b", text]}),
            ("/compare/items", {"m": ["oracle/noisy", "oracle/perfect"], "cell": text}), ("/feed.atom", {"model": text}),
            ("/models/oracle/noisy", {"run": text}), (f"/badge/{text}.svg", {}), (f"/board.{text}", {}),
        )
    ]  # fmt: skip
    for page in pages:
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert harm_in(page.text) == ()
        assert not re.search(r"\b49\b", page.text)
