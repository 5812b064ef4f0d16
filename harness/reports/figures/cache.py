"""A bounded cache for several threads: each value is made once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Cache(Generic[_Key, _Value]):
    """Keep the `size` values used last; make each once, however many threads ask for it at the same time."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[_Key, _Value] = OrderedDict()
        self._coming: dict[_Key, Future[_Value]] = {}
        self._lock = threading.Lock()  # never held while a value is made

    def get(self, key: _Key, make: Callable[[], _Value]) -> _Value:
        """Return the value of a key; call `make` if it is not in the cache.

        An exception that `make` raises reaches all waiting threads and is not kept.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            coming = self._coming.get(key)
            mine: Future[_Value] = Future()
            if coming is None:
                self._coming[key] = mine
        return self._make(key, make, mine) if coming is None else coming.result()

    def _make(self, key: _Key, make: Callable[[], _Value], mine: Future[_Value]) -> _Value:
        try:
            value = make()
        except BaseException as error:
            self._forget(key)
            mine.set_exception(error)
            raise
        with self._lock:
            self._kept[key] = value
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._forget(key)
        mine.set_result(value)
        return value

    def _forget(self, key: _Key) -> None:
        with self._lock:
            del self._coming[key]
