"""What is kept is made once, bounded, and never wrong."""

import threading
import time

import pytest

from fathom.harness.reports.figures.cache import Cache


def test_a_value_is_made_once_and_the_oldest_unused_one_goes():
    cache, made = Cache(2), []

    def make(key):
        return lambda: made.append(key) or key * 10

    assert [cache.get(key, make(key)) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]


def test_threads_that_ask_at_once_get_one_value_and_others_do_not_wait():
    cache, made, gate = Cache(9), [], threading.Event()

    def slow():
        made.append("slow")
        assert gate.wait(10)
        return "slow"

    found = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("slow", slow))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert cache.get("fast", lambda: "fast") == "fast"
    gate.set()
    for thread in threads:
        thread.join()
    assert found == ["slow"] * 8
    assert made == ["slow"]


def test_what_fails_fails_for_all_who_wait_and_is_tried_again():
    cache, gate = Cache(9), threading.Event()

    def fail():
        assert gate.wait(10)
        raise ValueError("broken")

    failures = []

    def ask():
        try:
            cache.get("key", fail)
        except ValueError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    gate.set()
    for thread in threads:
        thread.join()
    assert failures == ["broken"] * 4
    assert cache.get("key", lambda: "whole") == "whole"


@pytest.mark.parametrize("value", [None, 0, ""])
def test_empty_values_are_kept_as_well(value):
    cache = Cache(2)
    assert cache.get("key", lambda: value) == value
    assert cache.get("key", lambda: pytest.fail("made again")) == value
