"""Signal receivers that depend on settings: connected strongly, and disconnected when the settings change."""

from collections.abc import Callable
from typing import Any

from django.dispatch import Signal


class Receivers:
    def __init__(self) -> None:
        self._connected: list[tuple[Signal, Callable[..., None], Any]] = []

    def connect(self, signal: Signal, receiver: Callable[..., None], sender: Any = None) -> None:
        signal.connect(receiver, sender=sender, weak=False)
        self._connected.append((signal, receiver, sender))

    def disconnect_all(self) -> None:
        while self._connected:
            signal, receiver, sender = self._connected.pop()
            signal.disconnect(receiver, sender=sender)
