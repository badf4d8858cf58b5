"""RFC 6455 on our protocol class, byte by byte: what the Autobahn Testsuite asks, without it."""
