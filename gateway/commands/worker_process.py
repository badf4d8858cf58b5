"""A gateway worker, from the inside: one of those that share the port."""

from gateway.access.plans import plans_from
from gateway.commands.failure import CommandFailure
from gateway.commands.processes import admin_listener, tracing_of
from gateway.commands.settings import Settings, certificate_of
from gateway.configuration import SettingsError
from gateway.serve import serve
from gateway.telemetry.logs import begin_log
from gateway.telemetry.spans import NO_SPANS


def gateway_process(settings: Settings, ready: str = "") -> None:
    """One worker; its parent keeps the port. Raises OSError.

    `ready`: the descriptor to which it says that it serves, where somebody waits for that.
    """
    begin_log(settings.logs, "gateway")
    admin = admin_listener(settings, "gateway", replaces=bool(ready))
    try:
        certificate = certificate_of(settings.tls)
    except SettingsError as error:
        # It was good when everything was started, and may be so again.
        raise CommandFailure(str(error)) from None
    tracing = tracing_of(settings, "gateway")
    serve(
        settings.gateway,
        settings.redis_url,
        shared=True,
        admin=admin,
        plans=plans_from(settings.plan),
        token=settings.token,
        certificate=certificate,
        ready=int(ready) if ready else None,
        spans=NO_SPANS if tracing is None else tracing,
    )
    if tracing is not None:
        tracing.close()
