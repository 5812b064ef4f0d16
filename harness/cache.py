"""Keep what was worked out last: bounded, and safe between threads."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """The `size` values used last. Values are made one after another, each once, however many threads ask."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._at_kept, self._at_work = threading.Lock(), threading.Lock()  # who finds a value waits for no maker

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made by `make` where it is not kept; what `make` raises passes through."""
        found = self._find(key)
        if found is not None:
            return found
        with self._at_work:
            found = self._find(key)  # another thread may just have made it
            return self._keep(key, make()) if found is None else found

    def _find(self, key: Key) -> Value | None:
        with self._at_kept:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: Key, value: Value) -> Value:
        with self._at_kept:
            self._kept[key] = value
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return value
