"""Certificates for a broker on loopback: an authority of our own, the broker's certificate, and those of clients."""

from __future__ import annotations

from pathlib import Path

from local_brokers.process import run

_DAYS_VALID = "3650"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates:
    """The files of one broker's TLS, made when they are not there yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = directory / "ca.pem"
        self.server = directory / "server.pem"

    def ensure(self) -> None:
        """Make what is missing. The broker's file is written last, so that it says that all are there."""
        if self.server.exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        make_authority("Penstock test authority", self.authority, self._key("ca"))
        self._sign("server", "localhost", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")

    def ensure_client(self, user: str) -> None:
        """Make a client's certificate and its key, if they are not there yet.

        `user` is whom a broker that asks for certificates takes its bearer for: the certificate's common name.
        """
        self.ensure()
        if not (self.directory / f"client-{user}.pem").exists():
            self._sign(f"client-{user}", user, "extendedKeyUsage=clientAuth\n")

    def client(self, user: str) -> tuple[Path, Path]:
        """Name the files of a client's certificate and its key."""
        return self.directory / f"client-{user}.crt", self._key(f"client-{user}")

    def _sign(self, name: str, common_name: str, extensions: str) -> None:
        request, certificate = self.directory / f"{name}.csr", self.directory / f"{name}.crt"
        extensions_file = self.directory / f"{name}.ext"
        extensions_file.write_text(extensions)
        key = self._key(name)
        _openssl("req", *_NEW_KEY, "-keyout", str(key), "-out", str(request), "-subj", f"/CN={common_name}")
        _openssl(
            *("x509", "-req", "-in", str(request), "-out", str(certificate), "-days", _DAYS_VALID),
            *("-CA", str(self.authority), "-CAkey", str(self._key("ca")), "-CAcreateserial"),
            *("-extfile", str(extensions_file)),
        )
        chain = key.read_text() + certificate.read_text() + self.authority.read_text()
        (self.directory / f"{name}.pem").write_text(chain)

    def _key(self, name: str) -> Path:
        return self.directory / f"{name}.key"


def make_authority(name: str, certificate: Path, key: Path) -> None:
    """Make a certificate authority: its certificate and its key as two files."""
    _openssl(
        *("req", "-x509", *_NEW_KEY, "-keyout", str(key), "-out", str(certificate), "-days", _DAYS_VALID),
        *("-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )


def _openssl(*arguments: str) -> None:
    run(["openssl", *arguments], what="making a certificate with openssl")
