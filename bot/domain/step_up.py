"""Step-up: a one-time link by which one person signs in, to approve one decision."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """What a link is bound to."""

    step_up_id: str
    user_id: str
    case_id: int
    case_version: int
    decision_id: str
    params_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What a browser takes to the identity provider and back; `browser` is its cookie."""

    browser: str
    state: str
    nonce: str
    code_verifier: str
