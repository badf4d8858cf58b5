"""What any HTTP server must see to: hosts, origins, proxies, problems, files, TLS."""
