"""A certificate for archive.org's names that only those trust who are told to, made anew by openssl each time."""

import shutil
import ssl
import subprocess
from pathlib import Path

NAMES = ("archive.org", "*.archive.org", "*.us.archive.org", "*.s3dns.us.archive.org")


def tls_context(certificate: Path) -> ssl.SSLContext:
    """What a server needs that shows this certificate; its key lies beside it. Both are made here.

    Raises FileNotFoundError if there is no openssl on this machine.
    """
    if shutil.which("openssl") is None:
        raise FileNotFoundError("openssl: the fake archive.org needs it to speak https")
    key = certificate.with_suffix(".key")
    subprocess.run(
        ["openssl", "req", *_wishes(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _wishes() -> list[str]:
    """What is signed by itself, for a day: a key quickly made, the names, and what Python 3.13 asks for."""
    names = ",".join(f"DNS:{name}" for name in NAMES)
    extensions = (f"subjectAltName={names}", "keyUsage=critical,digitalSignature,keyCertSign")
    usual = ["-x509", "-nodes", "-days", "1", "-subj", "/CN=a fake archive.org"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    return [*usual, *curve, *(part for extension in extensions for part in ("-addext", extension))]
