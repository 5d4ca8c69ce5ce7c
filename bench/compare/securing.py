"""Brokers over TLS: the certificates that they show, and how each of them is started to show one."""

import re
import shutil
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

from brokers import Broker, BrokerError

# What `openssl req` is told of the key of a certificate.
KEYS = {
    "ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-newkey", "rsa:2048"],
}


def certificate(folder: Path, kind: str) -> Path:
    """A certificate that nobody has signed but itself, with its secret in the same file; made once in a folder."""
    path = folder / f"{kind}.pem"
    if path.exists():
        return path
    key = folder / f"{kind}.key"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    issue(kind, key, path, *names)
    path.write_text(path.read_text() + key.read_text())
    # A broker may give up its rights before it reads this; the secret is worth nothing.
    for file in (folder, path):
        file.chmod(0o755 if file.is_dir() else 0o644)
    return path


def client(folder: Path, kind: str, count: int) -> tuple[Path, Path]:
    """An authority, and a client's chain of so many certificates that leads to it, with its secret in the same file; made once in a folder."""
    authority, path = folder / f"authority-{kind}.pem", folder / f"client-{kind}-{count}.pem"
    if path.exists():
        return authority, path
    if not authority.exists():
        issue(kind, authority.with_suffix(".key"), authority, "-subj", "/CN=authority")
    issuer, between = authority, ""
    for number in range(1, count):
        next_one = folder / f"between-{kind}-{number}.pem"
        by = ["-CA", str(issuer), "-CAkey", str(issuer.with_suffix(".key"))]
        issue(kind, next_one.with_suffix(".key"), next_one, "-subj", f"/CN=authority {number}", *by)
        issuer, between = next_one, next_one.read_text() + between
    by = ["-CA", str(issuer), "-CAkey", str(issuer.with_suffix(".key"))]
    use = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=clientAuth"]
    issue(kind, path.with_suffix(".key"), path, "-subj", "/CN=device-0001", *use, *by)
    path.write_text(path.read_text() + between + path.with_suffix(".key").read_text())
    for file in (authority, path):
        file.chmod(0o644)
    return authority, path


def chain_bytes(path: Path) -> int:
    """How long the certificates of a file are, as they are shown."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", path.read_text(), re.DOTALL)
    return sum(len(ssl.PEM_cert_to_DER_cert(block)) for block in blocks)


def issue(kind: str, key: Path, path: Path, *words: str):
    """Makes a secret, and a certificate of it that says these things."""
    if shutil.which("openssl") is None:
        raise BrokerError("openssl is missing: apt-get install openssl")
    command = ["openssl", "req", "-x509", *KEYS[kind], "-nodes", "-days", "30", "-keyout", str(key), "-out", str(path), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BrokerError(f"openssl makes no certificate: {done.stderr.strip()}")


def secured(broker: Broker, path: Path) -> Broker | None:
    """The same broker with TLS on its port; nothing if it takes no part in that."""
    if broker.secure_command is None:
        return None
    return replace(
        broker,
        command=broker.secure_command.replace("{certificate}", str(path)),
        config=broker.secure_config,
        config_values={"certificate": path},
    )
