"""The Autobahn Testsuite against our WebSocket protocol class: `make autobahn`."""
