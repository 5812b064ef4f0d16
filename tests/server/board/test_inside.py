import pytest

from tests.stored_probe import write_probe


@pytest.fixture
def probed(fresh, browse):
    """A board with two probes of pebble and one of another model on the same items; their ids, and a client."""
    db, url = fresh
    ids = write_probe(db), write_probe(db, seed="8"), write_probe(db, "reference/pebble-early", shift=6)
    return ids, browse(url)


def test_the_page_shows_each_fact_with_its_verdict_and_hardest_control(probed):
    (first, *_), client = probed
    answer = client.get(f"/models/reference/pebble/inside?probe={first}")
    assert answer.status_code == 200
    assert '<td>present</td><td>layer 2</td><td class="number"><b>0.95</b>' in answer.text
    assert "<td>surface 0.16</td>" in answer.text
    assert "<td>absent</td>" in answer.text
    assert "mistake.mano.answer was left out: too few" in answer.text


def test_the_page_says_that_presence_is_not_use(probed):
    assert "<b>Presence is not use.</b>" in probed[1].get("/models/reference/pebble/inside").text


def test_the_page_tells_what_is_known_and_not_said(probed):
    (first, *_), client = probed
    page = client.get(f"/models/reference/pebble/inside?probe={first}").text
    assert '<td class="number">50.0%</td><td class="number">45.0%</td>' in page  # 57 are read, 30 of them are said


def test_two_probes_on_the_same_items_are_compared_item_by_item(probed):
    (first, second, early), client = probed
    page = client.get(f"/models/reference/pebble/inside?probe={first}&other={early}").text
    assert '<td class="number">6</td><td class="number">0</td><td class="number">0.062</td>' in page
    page = client.get(f"/models/reference/pebble/inside?probe={first}&other={second}").text
    assert "they were tested on different items: give both the same --seed and --n" in page


def test_the_picture_has_a_square_for_each_layer_and_place_of_model_and_control(probed):
    (first, *_), client = probed
    drawn = client.get(f"/pictures/inside.svg?probe={first}&target=depo.n8k1.next1&theme=dark")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.count("fill-opacity") == 2 * 2 * 5
    assert drawn.text.count('stroke-width="2"') == 2 * 3  # the present ones


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/models/nobody/inside", 404),
        ("/models/reference/pebble/inside?probe=ffff", 404),
        ("/models/reference/pebble-early/inside?probe={0}", 404),
        ("/models/reference/pebble/inside?probe=xyz", 422),
        ("/pictures/inside.svg?probe={0}&target=depo.n8k9", 404),
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(probed, address, status):
    ids, client = probed
    assert client.get(address.format(*ids)).status_code == status
