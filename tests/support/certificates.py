"""A certificate authority for tests, made with openssl: what a cert-manager issuer would be in production."""

from __future__ import annotations

import ssl
from pathlib import Path

from stanft.ground import shell
from stanft.stan.tls import trusting

DAYS = "2"  # life time of everything made here


class Authority:
    """An authority in a folder of its own, and the certificates that it signs. Needs openssl."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        subject = ["-subj", f"/CN={name}", "-days", DAYS]
        self._openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-keyout", f"{name}.key", "-out", f"{name}.crt"
        )

    def _openssl(self, *arguments: str) -> str:
        """Run openssl in the folder; raises shell.CommandError with its words."""
        return shell.output(["openssl", *arguments], cwd=self.folder)

    def sign(self, subject: str, names: str) -> dict[str, str]:
        """A Secret of type kubernetes.io/tls with ca.crt, for server and client use.

        names are the subject alternative names in openssl's words: "DNS:a.example,IP:127.0.0.1".
        """
        request = ["-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}"]
        self._openssl("req", *request, "-keyout", f"{subject}.key", "-out", f"{subject}.csr")
        extension = self.folder / f"{subject}.ext"
        extension.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        by = ["-CA", f"{self.name}.crt", "-CAkey", f"{self.name}.key", "-CAcreateserial", "-days", DAYS]
        self._openssl(
            "x509", "-req", "-in", f"{subject}.csr", *by, "-extfile", extension.name, "-out", f"{subject}.crt"
        )
        return {
            "tls.crt": (self.folder / f"{subject}.crt").read_text(),
            "tls.key": (self.folder / f"{subject}.key").read_text(),
            "ca.crt": (self.folder / f"{self.name}.crt").read_text(),
        }

    def fingerprint(self, subject: str) -> str:
        """SHA-256 of a certificate's public key in hex, as the server pins it."""
        self._openssl("pkey", "-in", f"{subject}.key", "-pubout", "-outform", "DER", "-out", f"{subject}.der")
        return self._openssl("dgst", "-sha256", "-r", f"{subject}.der").split()[0]

    def context(self, subject: str | None = None) -> ssl.SSLContext:
        """TLS of a client that trusts this authority and, if a subject is named, shows that certificate."""
        context = trusting(self.folder / f"{self.name}.crt")
        if subject:
            context.load_cert_chain(self.folder / f"{subject}.crt", self.folder / f"{subject}.key")
        return context
