"""What a wrong address is answered with: a plain sentence, whatever the parameter."""

import html
import re

import pytest
from fastapi.dependencies.utils import get_flat_dependant
from pydantic import BaseModel

JARGON = re.compile(
    r"Input should|String should|Value error|Field required|Extra inputs|validation|pars(e|ing)|pattern|[$^]|List should"
)


def flat(routes):
    for route in routes:
        yield from flat(route.original_router.routes) if hasattr(route, "original_router") else [route]


def parameters_of(route):
    """Names of the parameters of an address, those of a model of parameters too."""
    for one in get_flat_dependant(route.dependant).query_params:
        kind = one.field_info.annotation
        is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        yield from kind.model_fields if is_model else [one.alias]


@pytest.mark.parametrize("value", ["x" * 500, "-1", "1.5", "a\0b", "\u202e"], ids=ascii)
@pytest.mark.cases(None)
def test_every_parameter_of_every_address_is_refused_in_plain_words(board_app, value):
    client, app = board_app
    n_refused = 0
    for route in flat(app.routes):
        if "GET" not in (getattr(route, "methods", None) or ()) or not hasattr(route, "dependant"):
            continue
        path = re.sub(r"\{[^}]*\}", "G", route.path).replace("board.G", "board.csv").replace("samples.G", "samples.csv")
        for name in parameters_of(route):
            answer = client.get(path, params={name: value})
            assert answer.status_code < 500, (path, name)
            if answer.status_code == 422 and "html" in answer.headers["content-type"]:
                said = html.unescape(re.search(r"<bdi>(.*?)</bdi>", answer.text, re.DOTALL)[1])
            elif answer.status_code == 422:
                said = answer.json()["detail"]
            else:
                continue
            n_refused += 1
            assert not JARGON.search(said.replace(value, "")), (path, name, said)
    assert n_refused > 20


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/runs?page=0", "page is '0': give a number of at least 1."),
        ("/?min=many", "min is 'many': give a number."),
        ("/?colour=red", "there is no parameter 'colour' here."),
        ("/?show=both", "show is 'both': give 'score' or 'depth'."),
        ("/compare/items?m=a&m=b", "cell is missing."),
        ("/submissions/XYZ", "submission is 'XYZ': give at most 32 of the signs 0-9 and a-f"),
        ("/api/v1/runs?limit=999", "limit is '999': give a number of at most 200."),
    ],
)
def test_a_wrong_parameter_is_named_with_what_to_give(board, address, said):
    answer = board.get(address)
    assert answer.status_code == 422
    assert f"Something is wrong with the address: {said}" in html.unescape(answer.text).replace('\\"', '"')
