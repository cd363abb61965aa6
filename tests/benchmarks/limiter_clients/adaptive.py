"""The algorithm of the AWS SDKs' adaptive retry mode: a CUBIC rate behind a token bucket, found from throttling errors.

Source: botocore 1.44, `retries/adaptive.py`, `throttling.py`, `bucket.py` and `standard.py` (Apache 2.0). Left out:
the retry quota, which only ever gives up earlier. Up to ten tries a call instead of botocore's three.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable

MAX_TRIES = 10
_BACKOFF_CAP_S = 20.0
_SCALE, _BETA = 0.4, 0.7
_SMOOTHING = 0.8
_MEASURED_EVERY_S = 0.5
_MIN_RATE = 0.5
_MOST_TIMES_MEASURED = 2.0


class AdaptiveRate:
    """Sends as fast as it may until the first throttling error; paces by what it learns from then on."""

    def __init__(self) -> None:
        self._bucket = _Bucket()
        self._clock = _RateClock()
        self._lock = threading.Lock()
        self._is_enabled = False
        self._max_rate_seen = 0.0
        self._zero_point_s = 0.0
        self._failed_at = time.time()

    def call(self, send: Callable[[], bool]) -> None:
        """Call `send` until it is not throttled (False). Raises `RuntimeError` after the last try."""
        for tries in range(MAX_TRIES):
            if tries:
                time.sleep(random.random() * min(_BACKOFF_CAP_S, 2 ** (tries - 1)))
            if self._is_enabled:
                self._bucket.acquire()
            is_throttled = not send()
            self._learn(is_throttled)
            if not is_throttled:
                return
        raise RuntimeError("still throttled")

    def _learn(self, is_throttled: bool) -> None:
        measured = self._clock.record()
        now = time.time()
        with self._lock:
            if is_throttled:
                self._max_rate_seen = min(measured, self._bucket.rate) if self._is_enabled else measured
                self._zero_point_s = (self._max_rate_seen * (1 - _BETA) / _SCALE) ** (1 / 3)
                self._failed_at = now
                self._is_enabled = True
                rate = self._max_rate_seen * _BETA
            else:
                rate = _SCALE * (now - self._failed_at - self._zero_point_s) ** 3 + self._max_rate_seen
            self._bucket.set_rate(min(rate, _MOST_TIMES_MEASURED * measured))


class _RateClock:
    """Calls a second, smoothed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._measured = 0.0
        self._since = float(math.floor(time.time()))
        self._count = 0

    def record(self) -> float:
        with self._lock:
            self._count += 1
            slot = math.floor(time.time() / _MEASURED_EVERY_S) * _MEASURED_EVERY_S
            if slot > self._since:
                rate = self._count / (slot - self._since)
                self._measured = rate * _SMOOTHING + self._measured * (1 - _SMOOTHING)
                self._count, self._since = 0, slot
            return self._measured


class _Bucket:
    """A token bucket that holds one second's worth."""

    def __init__(self) -> None:
        self.rate = 1.0
        self._capacity = 1.0
        self._level = 0.0
        self._at = time.time()
        self._changed = threading.Condition()

    def set_rate(self, rate: float) -> None:
        with self._changed:
            self._refill()
            self.rate = max(rate, _MIN_RATE)
            self._capacity = max(rate, 1.0)
            self._level = min(self._level, self._capacity)
            self._changed.notify()

    def acquire(self) -> None:
        with self._changed:
            self._refill()
            while self._level < 1:
                self._changed.wait((1 - self._level) / self.rate)
                self._refill()
            self._level -= 1

    def _refill(self) -> None:
        now = time.time()
        self._level = min(self._capacity, self._level + (now - self._at) * self.rate)
        self._at = now
