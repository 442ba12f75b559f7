"""Fixtures that several test folders share."""

from __future__ import annotations

from brokers import mosquitto

__all__ = ["mosquitto"]
