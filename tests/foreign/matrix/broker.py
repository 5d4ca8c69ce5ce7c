"""A broker with every way in, and its files: started, told to read them again, asked how far it is, stopped."""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import secrets
import signal
import ssl
import subprocess
import time
import urllib.request

import cells
import wire

SHARDS = 3
SECRET = secrets.token_bytes(32)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user, groups=(), ends_in=3600, secret=SECRET, **further):
    """What an issuer signs; `further` are claims beside the usual ones."""
    claims = {"sub": user, "groups": list(groups), "exp": int(time.time()) + ends_in, **further}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return signed + "." + base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))


class Files:
    """Users, keys of tokens and certificates, in a folder that all brokers of a run share."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "keys").write_text(json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": base64url(SECRET)}]}))
        self.users()
        self.openssl("ecparam -genkey -name prime256v1 -noout -out authority.key")
        self.openssl("req -x509 -new -key authority.key -subj /CN=authority -days 2"
                     " -addext keyUsage=critical,keyCertSign,cRLSign -out authority.pem")
        self.certify("broker", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth")
        self.certified = {None: None}
        for number, name in enumerate(sorted({actor.certificate for actor in cells.ACTORS if actor.certificate})):
            self.certify(f"client{number}", "extendedKeyUsage=clientAuth", name)
            self.certified[name] = (self.path(f"client{number}.pem"), self.path(f"client{number}.key"))
        self.prints = {name: pair and self.fingerprint(pair[0]) for name, pair in self.certified.items()}
        self.trust = {name: wire.trust(self.path("authority.pem"), pair) for name, pair in self.certified.items()}

    def users(self, without=()):
        """The password file, in mosquitto's old format, which costs no time."""
        salt = b"the same salt"  # a new one would be another hash, which ends connections
        digest = hashlib.sha512(cells.PASSWORD.encode() + salt).digest()
        proof = f"$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
        self.write("users", "".join(f"{user}:{proof}\n" for user in [cells.KEEPER, *cells.USERS] if user not in without))

    def path(self, name):
        return str(self.folder / name)

    def write(self, name, content):
        """Written beside the old one and put in its place, as the manual asks."""
        (self.folder / "new").write_text(content)
        os.replace(self.folder / "new", self.folder / name)

    def openssl(self, arguments):
        ran = subprocess.run(["openssl", *arguments.split()], cwd=self.folder, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"openssl {arguments}: {ran.stderr}")

    @staticmethod
    def fingerprint(path):
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pathlib.Path(path).read_text())).hexdigest()

    def told(self, rules):
        """Rules with the fingerprint of the certificate that they ask for, which is new in each run."""
        return rules.replace("{fingerprint}", self.prints["cnx"])

    def certify(self, file, extensions, name="broker"):
        subject = name.replace("+", "\\+")  # else it would begin another part of the name
        (self.folder / f"{file}.ext").write_text(extensions)
        self.openssl(f"ecparam -genkey -name prime256v1 -noout -out {file}.key")
        self.openssl(f"req -new -key {file}.key -subj /CN={subject} -out {file}.csr")
        self.openssl(f"x509 -req -in {file}.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2"
                     f" -extfile {file}.ext -out {file}.pem")


class Broker:
    """A process; `rules` is the text of its first rules, `key` the setting that names their file, `more` are settings beside the usual ones."""

    def __init__(self, program, files, rules=None, key="auth.rules_file", more=None):
        self.files, self.changes, self.rules = files, 0, f"rules-{time.monotonic_ns()}"
        self.socket = files.path(f"s{time.monotonic_ns()}")
        settings = {
            "runtime.shards": SHARDS, "admin.listen": "127.0.0.1:0", "auth.anonymous": "yes", "auth.password_file": files.path("users"),
            "auth.token_keys": files.path("keys"), "auth.token_groups_claim": "groups", "auth.token_leeway": "0s",
            "auth.failures_max": "unlimited",  # whoever is refused here is no guesser
            "listeners.unix.address": f"unix:{self.socket}",
            "listeners.proxy.proxy_protocol": "required", "listeners.proxy.proxy_trusted": "127.0.0.1",
            "listeners.ws.protocol": "websocket", "listeners.wss.protocol": "websocket",
            "listeners.mutual.client_certificates": "required", "listeners.mutual.client_ca": files.path("authority.pem"),
            "listeners.mutual.user_from": "common-name", "listeners.mutual.chain": "certificate", **(more or {}),
        }
        for name in ("tls", "mutual", "ws", "wss", "proxy"):
            settings[f"listeners.{name}.address"] = "127.0.0.1:0"
        for name in ("tls", "mutual", "wss"):
            settings[f"listeners.{name}.certificates"] = files.path("broker.pem")
            settings[f"listeners.{name}.keys"] = files.path("broker.key")
        if rules is not None:
            files.write(self.rules, rules)
            settings[key] = files.path(self.rules)
        self.asks_for_claims = "auth.token_acl_claim" in settings
        arguments = [program, "--memory", "--listen", "127.0.0.1:0"]
        for name, value in settings.items():
            arguments += ["--set", f"{name}={value}"]
        self.log = files.path(f"log-{time.monotonic_ns()}")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(arguments, stderr=log)
        self.doors = {"unix": self.socket, "trust": files.trust}
        for name in ("tls", "mutual", "ws", "wss", "proxy"):
            self.doors[name] = self.port(rf"listening.*address=127\.0\.0\.1:(\d+) name={name}$")
        self.doors["tcp"] = self.port(r"listening.*address=127\.0\.0\.1:(\d+)$")
        self.admin = self.port(r"metrics and health.*address=127\.0\.0\.1:(\d+)$")

    def port(self, pattern):
        for _ in range(600):
            found = re.search(pattern, pathlib.Path(self.log).read_text(), re.MULTILINE)
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.process.kill()
        raise RuntimeError(f"the broker does not listen: {pathlib.Path(self.log).read_text()[-2000:]}")

    def metric(self, name):
        """The sum of a metric over all shards."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=wire.PATIENCE) as answer:
            lines = [line for line in answer.read().decode().splitlines() if re.match(name + r"[{ ]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def await_metric(self, name, value):
        end = time.monotonic() + wire.PATIENCE
        while self.metric(name) != value:
            if time.monotonic() > end:
                raise RuntimeError(f"{name} is {self.metric(name)} and not {value}")
            time.sleep(0.02)

    def settle(self, name):
        """Waits until a gauge stays as it is for three looks."""
        seen = []
        while len(seen) < 3 or len(set(seen[-3:])) > 1:
            seen.append(self.metric(name))
            time.sleep(0.05)

    def reload(self, rules=None, without=()):
        """New rules, or fewer users; in force on every shard when this returns."""
        before = self.metric("pregon_policy_changes_total")
        if rules is not None:
            self.files.write(self.rules, rules)
        else:
            self.files.users(without)
        self.process.send_signal(signal.SIGHUP)
        self.await_metric("pregon_policy_changes_total", before + SHARDS)

    def stop(self):
        """Ends it in order; whether it did."""
        if self.process.poll() is not None:
            return False
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(wire.PATIENCE) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            return False
