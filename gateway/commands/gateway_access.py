"""Which gateway a command talks to. Knows no Redis: most commands that watch need none."""

from pathlib import Path

from gateway.commands.settings import Settings
from gateway.processes.listening import url_of
from gateway.processes.running import find_running


def gateway_url_of(settings: Settings) -> str:
    """The running Tickgate's gateway, else where the settings put one."""
    running = find_running(Path(settings.data_dir))
    if running is not None:
        return running.gateway_url
    scheme = "https" if settings.tls.cert else "http"
    return url_of(settings.gateway.host, settings.gateway.port, scheme)
