"""`GET /v1/track-record`: what came of a model's signals, as the ledger has it."""

from collections.abc import Sequence

import msgspec

from gateway.rest.answers import TrackRecords
from gateway.rest.call import Call
from gateway.rest.parameters import OfTrackRecord
from gateway.web.problems import Refusal


async def track_record(call: Call, query: OfTrackRecord) -> TrackRecords[msgspec.Raw]:
    """Raises Refusal."""
    models = _models(call, query)
    fields = [f"{model}:{query.pair}" if query.pair else model for model in models]
    async with call.sources.readings.turn():
        found = await call.sources.readings.track_records(fields)
    if not found and query.model is not None:
        raise Refusal("unknown_model", f"there is no record of {fields[0]}")
    return TrackRecords(tuple(msgspec.Raw(found[field]) for field in fields if field in found))


def _models(call: Call, query: OfTrackRecord) -> Sequence[str]:
    """Those whose signals the key may see: of the pair, or any. Raises Refusal."""
    known = call.sources.directory.of_kind("signal")
    models = sorted({one.venue for one in known}) if query.model is None else [query.model]
    seen = {one.venue for one in known if call.grant.allows(one.name)}
    pair = query.pair or "*"
    allowed = [
        model
        for model in models
        if call.grant.allows(f"signal:{model}:{pair}") or (query.pair is None and model in seen)
    ]
    if models and not allowed:
        raise Refusal("not_in_plan", "the key may not see these signals")
    return allowed
