"""Frozen values and enums; no I/O."""
