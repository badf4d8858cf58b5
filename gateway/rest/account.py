"""`POST /v1/tickets` and `GET /v1/usage`: what a key may ask about itself."""

from gateway.access.rate_headers import retry_after
from gateway.access.script_calls import Unanswered
from gateway.access.tickets import LIFE_MS, TicketsUnavailable
from gateway.access.usage import Used
from gateway.rest.answers import Ticket
from gateway.rest.call import Call
from gateway.rest.parameters import Nothing
from gateway.web.problems import Refusal


async def ticket(call: Call, _: Nothing) -> Ticket:
    """A new ticket. Raises Refusal."""
    try:
        return Ticket(await call.sources.tickets.sell(call.holder), LIFE_MS)
    except TicketsUnavailable as error:
        raise Refusal("tickets_unavailable", str(error), retry_after(1.0)) from error


async def usage(call: Call, _: Nothing) -> Used:
    """What the key has used. Raises Refusal."""
    try:
        return (await call.sources.usage_of(call.holder.id)).told(call.plan)
    except Unanswered as error:
        raise Refusal("usage_unavailable", headers=retry_after(1.0)) from error
