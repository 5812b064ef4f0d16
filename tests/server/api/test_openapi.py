"""Thousands of made-up requests: the API answers each as its own description says, and never breaks."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.records import SampleFilter

pytestmark = pytest.mark.slow

N_EACH = {False: 25, True: 140}
"""Requests to each operation, by whether --full is given."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def known(played):
    """Values that lead somewhere, by parameter: without them hardly a made-up request would be answered with 200."""
    db = open_database(played.url, create=False)
    samples = read.get_samples(db, played.noisy, SampleFilter(), 0, 5).samples
    db.dispose()
    runs = [one.summary.run for one in (played.noisy, played.perfect, played.failed)]
    pairs = [["oracle/noisy", "oracle/perfect"], ["~1", "~2"], ["oracle/nobody", "oracle/noisy"], ["oracle/noisy"]]
    return {
        "run": [*runs, runs[0][:8]], "name": ["oracle/noisy", "oracle/nobody", "~1"], "m": pairs,
        "sample": [one.id for one in samples], "family": ["depo", "years", "lano"], "level": ["n4k1", "n8k2", "y8k2-32k"],
        "style": ["direct", "cot", "choice"], "channel": ["symbol", "story"], "seed": ["7", "9f"],
        "cell": [one.id for one in played.noisy.cells[:3]], "label": ["correct", "other_node"], "pool": [played.noisy.pool],
        "sort": ["size", "model", "depo"], "columns": [["depo"], ["depo", "years"]], "page": [1, 2],
    }  # fmt: skip


@pytest.fixture(scope="module")
def described(board):
    return schemathesis.openapi.from_url(f"{board.base_url}/api/v1/openapi.json")


def operations(described):
    return [found.ok() for found in described.get_all_operations()]


def test_the_description_names_each_address_of_the_api_and_no_page(described):
    assert [one.path for one in operations(described)] == [
        f"/api/v1/{rest}"
        for rest in (
            "suites", "board", "models", "models/{name}", "runs", "runs/{run}", "runs/{run}/samples",
            "runs/{run}/samples/{sample}", "compare", "families", "items/{family}", "results", "submissions/{submission}/replay",
            "seasons", "seasons/{season}", "me", "submissions", "submissions", "submissions/{submission}",
            "submissions/{submission}", "submissions/{submission}/retry", "submissions/{submission}/withdraw",
        )
    ]  # fmt: skip


@st.composite
def requests_to(draw, operation, known):
    """Make a request up, right or wrong in form, and put known values in for some of its parameters."""
    modes = [GenerationMode.POSITIVE]
    if any(operation.iter_parameters()):
        modes.append(GenerationMode.NEGATIVE)
    case = draw(st.sampled_from(modes).flatmap(operation.as_strategy))
    for values in (case.path_parameters, case.query):
        for name in sorted(set(values or {}) & set(known)):
            if draw(st.booleans()):
                values[name] = draw(st.sampled_from(known[name]))
    return case


def test_made_up_requests_are_answered_as_described(described, known, request):
    n_each, seen = N_EACH[request.config.getoption("--full")], []
    with requests.Session() as session:
        for operation in operations(described):
            seen += _ask(operation, known, session, n_each)
    n_found = seen.count(200)
    print(f"{len(seen)} requests, {n_found} of them answered with 200")
    assert len(seen) >= 2000 * n_each / 140
    assert min(n_found, len(seen) - n_found) > len(seen) / 10  # both kinds of answer were tested


def _ask(operation, known, session, n_each):
    seen = []

    @settings(
        max_examples=n_each, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=requests_to(operation, known))
    def ask(case):
        answer = case.call(session=session)
        seen.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    return seen
