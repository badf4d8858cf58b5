"""What a newcomer reads when everything runs: where, which key, and three commands to paste."""

import json
import shlex
import sys
from pathlib import Path
from typing import Final

_WELCOME: Final = """\
dashboard: {dashboard}
listening: {url}
demo key: {key}

Watch prices in the terminal:

TICKGATE_KEY={key} {tickgate} watch --url {url} '{quotes}'

Subscribe with a few lines of Python:

{python} -u - <<'END'
from websockets.sync.client import connect
key = {{"X-API-Key": "{key}"}}
with connect("{stream}", additional_headers=key, proxy=None) as ws:
    ws.send('{subscribe}')
    for message in ws:
        print(message)
END

Subscribe with any WebSocket client:

(printf '%s\\n' '{auth}' '{subscribe}'; cat) | no_proxy='*' {websockets} {stream}

Ctrl-C ends everything, the demo key too; `tickgate keys create` makes one that stays.
"""


def welcome(url: str, key: str, venue: str) -> str:
    """The text; its commands work as pasted, from any directory. `url` is the gateway's."""
    quotes = f"quote:{venue}:*"
    return _WELCOME.format(
        # A fragment is sent to no server, and the page takes it out of the address at once.
        dashboard=f"{url}/#key={key}",
        url=url,
        key=key,
        quotes=quotes,
        stream=f"ws{url.removeprefix('http')}/v1/stream",
        auth=_json({"op": "auth", "id": 1, "key": key}),
        subscribe=_json({"op": "subscribe", "id": 2, "channels": [f"trade:{venue}:*"]}),
        tickgate=_program("tickgate", "gateway.cli"),
        websockets=_program("websockets", "websockets"),
        python=shlex.quote(sys.executable),
    )


def _json(command: dict[str, object]) -> str:
    return json.dumps(command, separators=(",", ":"))


def _program(name: str, module: str) -> str:
    script = Path(sys.executable).parent / name
    if script.exists():
        return shlex.quote(str(script))
    return f"{shlex.quote(sys.executable)} -m {module}"
