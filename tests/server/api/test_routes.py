"""The API: what the pages show as JSON, page by page, named by a hash, with problems that say what to do."""

import html
import re

import pytest

from fathom.harness.reports.terminal import families_json
from fathom.server.web.render import points, whole
from fathom.tasks.base import make_instance, pose
from fathom.tasks.registry import find_family


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def found(board, address, **params):
    answer = board.get(f"/api/v1/{address}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def links_of(answer):
    return {rel: address for address, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers.get("link", ""))}


def walk(client, address):
    """Follow the links from a page to the last."""
    pages = []
    while address:
        pages.append(client.get(address))
        address = links_of(pages[-1]).get("next")
    return pages


@pytest.mark.parametrize("style", ["direct", "cot", "choice"])
def test_the_board_holds_the_numbers_of_the_page(board, style):
    page = board.get(f"/?style={style}")
    shown = text_of(page)
    answer = found(board, "board", style=style)
    assert (answer["total"], answer["page"], answer["n_pages"]) == (2, 1, 1)
    for one in answer["standings"]:
        assert points(one["overall"]["score"]) in shown
        for score in one["families"].values():
            half = f"{50 * (score['high'] - score['low']):.1f}"
            assert f'title="±{half}">{whole(score["score"])}</td>' in page.text
        assert f"{one['rank']} {one['rank_low']} , tie group {one['tie']} {one['model']}" in shown


def test_a_query_of_the_board_means_the_same_in_the_api(board):
    for query in ("q=perfect", "sort=depo&order=asc", "style=cot&complete=true", "max=1"):
        names = re.findall(r'data-name="([^"]*)"', board.get(f"/?{query}").text)
        assert [one["model"] for one in board.get(f"/api/v1/board?{query}").json()["standings"]] == names


def test_suites_are_the_tabs_of_the_board(board, played):
    (suite,) = found(board, "suites")
    assert suite["pool"] == played.noisy.pool
    assert (suite["n_models"], suite["n_items"]) == (2, played.noisy.suite.n_items)
    assert list(suite["asked"]) == ["direct", "cot", "choice"]


def test_a_model_holds_the_places_and_runs_of_its_page(board, played):
    model = found(board, "models/oracle/noisy")
    assert model == found(board, f"models/~{model['id']}")
    assert [one["run"] for one in model["runs"]] == [played.noisy.summary.run]
    standings = {style: found(board, "board", style=style)["standings"] for style in ("direct", "cot", "choice")}
    for place in model["places"]:
        (line,) = (one for one in standings[place["style"]] if one["model"] == "oracle/noisy")
        assert {key: line[key] for key in ("rank", "rank_low", "rank_high", "tie", "overall", "run")} == {
            key: place[key] for key in ("rank", "rank_low", "rank_high", "tie", "overall", "run")
        }


def test_a_run_holds_the_counts_of_its_page(board, played):
    detail = played.noisy
    run = found(board, f"runs/{detail.summary.run}")
    assert [(one["level"], one["k"], one["n"]) for one in run["cells"]] == [
        (cell.level, cell.k, cell.n) for cell in detail.cells
    ]
    assert (run["manifest_digest"], run["manifest"]) == (detail.manifest_digest, detail.manifest.stored)
    assert (
        run["scores"]["overall"]["direct"]["score"]
        == found(board, "board", q="noisy")["standings"][0]["overall"]["score"]
    )


def test_a_failed_run_holds_its_error_and_log(board, played):
    run = found(board, f"runs/{played.failed.summary.run}")
    assert (run["state"], run["error"], run["log"]) == ("failed", played.failed.summary.error, played.failed.log)


def test_samples_hold_the_question_as_the_model_was_sent_it(board, played):
    run = played.noisy.summary.run
    for one in found(board, f"runs/{run}/samples", limit=20)["samples"]:
        family, _version, level, channel, seed, index = re.split("[@/]", one["item"])
        item = make_instance(find_family(family), level, channel, seed, int(index))
        assert (one["question"], one["gold"]) == (pose(find_family(family), item, one["style"]), item.gold)
        assert found(board, f"runs/{run}/samples/{one['id']}") == one


def test_filters_of_samples_count_as_the_run_does(board, played):
    run, cells = played.noisy.summary.run, played.noisy.cells
    assert found(board, f"runs/{run}/samples", correct="true")["total"] == sum(cell.k for cell in cells)
    cell = next(cell for cell in cells if len(cell.labels) > 1)
    for label, n in cell.labels.items():
        assert found(board, f"runs/{run}/samples", cell=cell.id, label=label)["total"] == n


def test_a_comparison_holds_the_numbers_of_the_page(board):
    pair = {"m": ["oracle/noisy", "oracle/perfect"]}
    answer = found(board, "compare", **pair)
    assert (answer["models"], answer["paired"]) == (pair["m"], True)
    for style in ("direct", "cot", "choice"):
        shown = text_of(board.get("/compare", params={**pair, "style": style}))
        for one in (one for one in answer["comparisons"] if one["style"] == style and one["family"]):
            assert f"{one['only_first']}/{one['n_shared']} {one['only_second']}/{one['n_shared']} " in shown
            assert f"{one['family']} {points(one['first']['score'])} ±" in shown


def test_families_and_items_are_those_of_the_command_line(board):
    assert found(board, "families") == families_json()
    made = found(board, "items/depo", level="n8k2", seed="9f", index=3)
    item = make_instance(find_family("depo"), "n8k2", "symbol", "9f", 3)
    assert (made["id"], made["gold"], made["question"]) == (
        item.id,
        item.gold,
        pose(find_family("depo"), item, "direct"),
    )


def test_pages_link_to_each_other_and_hold_each_thing_once(board, played):
    run = played.noisy.summary.run
    for address, key, total in (
        ("models?limit=2", "models", 3), ("runs?limit=1", "runs", 3),
        (f"runs/{run}/samples?correct=false&limit=100", "samples", sum(one.n - one.k for one in played.noisy.cells)),
    ):  # fmt: skip
        pages = walk(board, f"/api/v1/{address}")
        held = [one.get("run") or one["id"] for page in pages for one in page.json()[key]]
        assert len(held) == len(set(held)) == total == pages[0].json()["total"]
        back = [links_of(pages[-1])["prev"]]
        while (before := links_of(board.get(back[-1])).get("prev")) is not None:
            back.append(before)
        assert len(back) == len(pages) - 1
        assert "prev" not in links_of(pages[0])


def test_pages_of_the_board_link_to_each_other(browse, fresh, write_run):
    db, url = fresh
    for at in range(101):
        write_run(db, write_run.story(model=f"org/model{at:03}"))
    client = browse(url)
    pages = walk(client, "/api/v1/board?q=org&sort=model")
    assert [one["model"] for page in pages for one in page.json()["standings"]] == [
        f"org/model{at:03}" for at in range(101)
    ]
    assert client.get(links_of(pages[1])["prev"]).json() == pages[0].json()


def test_an_answer_that_is_known_already_is_not_sent_again(board, played):
    for address in ("board", "models", f"runs/{played.noisy.summary.run}", "families", "openapi.json"):
        answer = board.get(f"/api/v1/{address}")
        for known in (answer.headers["etag"], f'"other", W/{answer.headers["etag"]}'):
            again = board.get(f"/api/v1/{address}", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
        assert board.get(f"/api/v1/{address}", headers={"If-None-Match": '"other"'}).content == answer.content


def test_an_answer_that_changed_has_another_name(browse, fresh, write_run):
    db, url = fresh
    client = browse(url)
    write_run(db)
    known = client.get("/").headers["etag"]
    write_run(db, write_run.story(model="org/newer"))
    again = client.get("/", headers={"If-None-Match": known})
    assert (again.status_code, again.headers["etag"] == known) == (200, False)


def test_no_problem_and_no_fresh_question_is_named_by_a_hash(board):
    for address in ("/none", "/api/v1/none", "/families/depo"):
        assert "etag" not in board.get(address).headers


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("none", 404, "no such page"), ("board?pool=x", 404, "no pool"), ("board?unknown=1", 422, "unknown"),
        ("board?page=2", 404, "the last one is 1"), ("models/nobody", 404, "no model"), ("models?limit=0", 422, "limit"),
        ("models?limit=201", 422, "limit"), ("runs?offset=-1", 422, "offset"), ("runs/zzz", 404, "no run"),
        ("runs/ffffffffffff", 404, "no run"), ("compare", 422, "m is missing"), ("compare?m=a", 404, "takes two models"),
        ("items/nope?level=a&seed=1", 404, "known: bios"), ("items/depo?level=nope&seed=1", 404, "nope"),
        ("items/depo?level=n8k2&seed=xyz", 422, "seed"), ("items/depo?level=n8k2", 422, "seed"),
        ("items/depo?level=n8k2&seed=7&style=sung", 404, "sung"), ("items/depo?level=n8k2&seed=7&index=x", 422, "index"),
    ],
)  # fmt: skip
def test_a_problem_says_in_json_what_is_wrong(board, address, status, said):
    answer = board.get(f"/api/v1/{address}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert set(answer.json()) == {"title", "status", "detail"}
    assert answer.json()["status"] == status
    assert said in answer.json()["detail"]


def test_the_api_can_only_be_read(board):
    answer = board.post("/api/v1/board")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_about_the_api_names_each_address_with_its_parameters(board):
    shown = text_of(board.get("/api"))
    paths = board.get("/api/v1/openapi.json").json()["paths"]
    assert all(path.startswith("/api/v1/") for path in paths)
    for path, method, call in ((path, *one) for path, methods in paths.items() for one in methods.items()):
        assert f"{method.upper()} {path} {call['description']}" in shown
        for one in call.get("parameters", []):
            assert f"{one['name']} {'required ' if one['required'] else ''}{one['description']}" in shown


def test_a_board_without_a_model_is_a_problem_and_lists_are_empty(browse, fresh):
    client = browse(fresh[1])
    assert client.get("/api/v1/board").status_code == 404
    assert client.get("/api/v1/suites").json() == []
    assert client.get("/api/v1/models").json() == {"total": 0, "models": []}
    assert client.get("/api/v1/runs").json() == {"total": 0, "runs": []}
