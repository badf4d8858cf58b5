"""`tickgate gateway`: whoever types it starts workers; each of those is this command as well."""

import click

from gateway.commands.options import LISTENING, environment, listening_options, with_settings
from gateway.commands.redis_access import redis_url_of
from gateway.commands.run import run_gateway
from gateway.commands.settings import Settings, certificate_of, check_tokens, check_traces
from gateway.processes.readiness import READY_VARIABLE


@click.command("gateway")
@listening_options
@with_settings(**LISTENING)
def gateway_command(settings: Settings) -> None:
    """Only the gateway: from Redis to subscribers."""
    if "TICKGATE_SETTINGS" in environment():
        from gateway.commands.worker_process import gateway_process  # noqa: PLC0415 - a worker only

        gateway_process(settings, environment().get(READY_VARIABLE, ""))
    else:
        check_traces(settings.traces)
        check_tokens(settings.token)
        certificate_of(settings.tls)
        run_gateway(settings, redis_url_of(settings), environment())
