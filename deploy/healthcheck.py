#!/opt/tickgate/bin/python -IS
"""Whether what listens on a port of this container is alive: `healthcheck 8787`; status 1: no.

http.client and not urllib, which would ask HTTP_PROXY for what is on loopback.
"""

import http.client
import sys

place = f"/healthz of port {sys.argv[1]}"
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=2)
try:
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"{place}: {error!r}")
if answer.status != 200:
    sys.exit(f"{place}: {answer.status}")
