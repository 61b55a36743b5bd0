"""Policies that demand TLS: a request over loopback counts as encrypted.

The local cloud speaks plain HTTP on 127.0.0.1, so a bucket policy that denies everything without `aws:SecureTransport`
would shut out every function. What such a policy does on AWS cannot be tried here.
"""

from __future__ import annotations

from ministack.core import iam_evaluator


def apply() -> None:
    """Answers the one condition key; all others are resolved as before."""
    original = iam_evaluator._resolve_condition_key

    def resolve_condition_key(key: str, context: iam_evaluator.EvalContext) -> object:
        if key.lower() == "aws:securetransport":
            return "true"
        return original(key, context)

    iam_evaluator._resolve_condition_key = resolve_condition_key
