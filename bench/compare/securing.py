"""Brokers over TLS: the certificates that they show, and how each of them is started to show one."""

import shutil
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
    if shutil.which("openssl") is None:
        raise BrokerError("openssl is missing: apt-get install openssl")
    key = folder / f"{kind}.key"
    command = ["openssl", "req", "-x509", *KEYS[kind], "-nodes", "-days", "30", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BrokerError(f"openssl makes no certificate: {done.stderr.strip()}")
    path.write_text(path.read_text() + key.read_text())
    # A broker may give up its rights before it reads this; the secret is worth nothing.
    for file in (folder, path):
        file.chmod(0o755 if file.is_dir() else 0o644)
    return path


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
