"""TLS of a client that trusts what the other NATS clients trust."""

from __future__ import annotations

import ssl
from pathlib import Path


def trusting(ca: Path | None) -> ssl.SSLContext:
    """A context that trusts the authorities in the file ca, those of the system for None.

    Since Python 3.13 an authority must name its key usage and a certificate its authority's key (RFC 5280); Go's
    crypto/x509, by which NATS servers and clients go, takes them without. Raises ssl.SSLError for a file with none.
    """
    context = ssl.create_default_context(cafile=ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
