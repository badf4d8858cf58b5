"""Certificates made on the spot: self-signed, for 127.0.0.1, good for a day."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from gateway.web.tls import Certificate

DAY = datetime.timedelta(days=1)


class Files:
    """A certificate and its key in a directory; what a client needs to believe it."""

    def __init__(self, directory: Path) -> None:
        self.cert = directory / "cert.pem"
        self.key = directory / "key.pem"

    def write(self, name: str = "first", password: bytes = b"") -> bytes:
        """New ones; gives the certificate as a client gets it (DER)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = (
            x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - DAY, now + DAY)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        self.cert.write_bytes(made.public_bytes(Encoding.PEM))
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        return made.public_bytes(Encoding.DER)

    def certificate(self) -> Certificate:
        return Certificate(self.cert, self.key)

    def trust(self) -> ssl.SSLContext:
        """Of a client that believes what is in the file now."""
        return ssl.create_default_context(cafile=str(self.cert))


def curious() -> ssl.SSLContext:
    """Of a client that believes everyone."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
