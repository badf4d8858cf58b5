"""How HTTP answers tell of limits. Pure.

`RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-11 (May 2026): lists
of policies by name, with quota and window; and of what is left, and for how long.
"""

import math

from gateway.access.limits import Verdict
from gateway.access.plans import Plan


def rate_headers(plan: Plan, verdict: Verdict, month_length_s: int) -> dict[str, str]:
    """Of an answer to a REST call; nothing for a plan without limits."""
    policies: list[str] = []
    limits: list[str] = []
    if plan.rest_per_minute:
        policies.append(f'"minute";q={plan.rest_per_minute};w=60')
        limits.append(f'"minute";r={verdict.minute_left};t={math.ceil(verdict.minute_reset_s)}')
    if plan.rest_per_month:
        left = max(0, plan.rest_per_month - verdict.month_used)
        policies.append(f'"month";q={plan.rest_per_month};w={month_length_s}')
        limits.append(f'"month";r={left};t={math.ceil(verdict.month_reset_s)}')
    headers = {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(limits)}
    if not policies:
        headers = {}
    return headers | (retry_after(verdict.wait_s) if verdict.over else {})


def connection_headers(plan: Plan) -> dict[str, str]:
    """Of an upgrade that is refused because the key's connections are all in use."""
    quota = f'"connections";q={plan.connections_max};qu="concurrent-requests"'
    return {"RateLimit-Policy": quota, "RateLimit": '"connections";r=0'} | retry_after(1.0)


def failure_headers(per_minute: int, wait_s: float) -> dict[str, str]:
    """Of what is refused because too many wrong keys came from its address."""
    return {
        "RateLimit-Policy": f'"failures";q={per_minute};w=60',
        "RateLimit": f'"failures";r=0;t={math.ceil(wait_s)}',
    } | retry_after(wait_s)


def retry_after(wait_s: float) -> dict[str, str]:
    """In whole seconds, which is all that the header can tell; at least one."""
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}
