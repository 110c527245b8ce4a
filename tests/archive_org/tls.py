"""A self-signed certificate for archive.org's names, created by openssl for each server."""

import shutil
import ssl
import subprocess
from pathlib import Path

NAMES = ("archive.org", "*.archive.org", "*.us.archive.org", "*.s3dns.us.archive.org")


def tls_context(certificate: Path) -> ssl.SSLContext:
    """Create a certificate at this path with its key beside it, and return a server context that uses them.

    Raises FileNotFoundError if openssl is not installed.
    """
    if shutil.which("openssl") is None:
        raise FileNotFoundError("the fake archive.org needs openssl for https")
    key = certificate.with_suffix(".key")
    subprocess.run(
        ["openssl", "req", *_certificate_options(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _certificate_options() -> list[str]:
    """Return openssl's options: self-signed, valid for one day, an EC key, all names, and what Python 3.13 requires."""
    names = ",".join(f"DNS:{name}" for name in NAMES)
    extensions = (f"subjectAltName={names}", "keyUsage=critical,digitalSignature,keyCertSign")
    usual = ["-x509", "-nodes", "-days", "1", "-subj", "/CN=a fake archive.org"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    return [*usual, *curve, *(part for extension in extensions for part in ("-addext", extension))]
