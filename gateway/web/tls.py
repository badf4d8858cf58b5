"""EDGE (ssl): the certificate that the gateway shows, and its key; both may be read again.

What is read is checked whole before it is shown to anyone: a bad file changes nothing.
"""

import ssl
from pathlib import Path
from typing import NoReturn


class CertificateError(Exception):
    """A certificate or key that can't be used. One line."""


class Certificate:
    """Of the files that are named. Raises CertificateError."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._shown = _context_of(certificate, key)
        self.context = _context_of(certificate, key)
        """To listen with. New connections are shown what was read last; open ones go on."""
        self.context.sni_callback = self._show

    def read_again(self) -> None:
        """Raises CertificateError; what was shown before is then still shown."""
        self._shown = _context_of(self._certificate, self._key)

    def _show(
        self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext
    ) -> None:
        # Called by each handshake, also where the client names no server.
        handshake.context = self._shown


def _context_of(certificate: Path, key: Path) -> ssl.SSLContext:
    _check_readable("certificate", certificate)
    _check_readable("key", key)

    def refuse_password() -> NoReturn:
        # Without this OpenSSL asks the terminal for one.
        raise CertificateError(f"the TLS key {key} is encrypted: there is nobody to ask")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # One client could have us compute for it again and again.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            reason = f"the TLS key {key} is not the one of the certificate {certificate}"
        else:
            reason = f"no TLS certificate and key (PEM) in {certificate} and {key}"
        raise CertificateError(reason) from None
    return context


def _check_readable(what: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise CertificateError(f"the TLS {what} {path} can't be read: {error.strerror}") from None
