# SPDX-License-Identifier: MIT
"""Certificates for tests, made with certtool (gnutls-bin): an authority and what it signs."""
import base64
import hashlib
import pathlib
import subprocess

KEYS = {"rsa": ["--key-type", "rsa", "--bits", "2048"], "ecdsa": ["--key-type", "ecdsa", "--curve", "secp256r1"],
        "ed25519": ["--key-type", "ed25519"]}


def _certtool(*arguments):
    done = subprocess.run(["certtool", *map(str, arguments)], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"certtool {arguments}: {done.stderr}")
    return done.stdout


class Certificate:
    """`cert` is PEM with the chain behind the certificate, `key` PEM, `both` the key and then the chain."""

    def __init__(self, cert, key):
        self.cert, self.key = pathlib.Path(cert), pathlib.Path(key)

    @property
    def both(self):
        path = self.cert.with_suffix(".both")
        path.write_text(self.key.read_text() + self.cert.read_text())
        path.chmod(0o600)
        return path

    @property
    def der(self):
        pem = self.cert.read_text().split("-----END CERTIFICATE-----")[0]
        return base64.b64decode("".join(pem.split("-----BEGIN CERTIFICATE-----")[1].split()))

    @property
    def public_key(self):
        """SubjectPublicKeyInfo, DER."""
        pem = subprocess.run(["openssl", "x509", "-noout", "-pubkey", "-in", self.cert], capture_output=True,
                             text=True, check=True).stdout
        return base64.b64decode("".join(line for line in pem.splitlines() if "-----" not in line))

    def fingerprint(self, digest="sha256"):
        return hashlib.new(digest, self.der).hexdigest()

    def key_fingerprint(self, digest="sha256"):
        return hashlib.new(digest, self.public_key).hexdigest()

    def tlsa(self, usage=3, selector=1, matching=1):
        """The data of a TLSA record as in a zone file."""
        data = self.public_key if selector == 1 else self.der
        data = {0: lambda x: x, 1: lambda x: hashlib.sha256(x).digest(),
                2: lambda x: hashlib.sha512(x).digest()}[matching](data)
        return f"{usage} {selector} {matching} {data.hex()}"


class Authority(Certificate):
    """An authority of its own in `directory`; below `parent`, or self-signed."""

    def __init__(self, directory, name="Test Authority", parent=None):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.name, self.parent, self.count = name, parent, 0
        stem = self.dir / name.replace(" ", "-").lower()
        super().__init__(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        self._make(self, [f'cn = "{name}"', "ca", "cert_signing_key"], "ecdsa", parent)

    def _make(self, made, template, kind, signer, activation=None, expiration=None):
        template = [*template, f"serial = {abs(hash(str(made.cert))) % 10 ** 9 + 1}"]
        if activation or expiration:
            template += [f'activation_date = "{activation or "2020-01-01 00:00:00"}"',
                         f'expiration_date = "{expiration or "2099-01-01 00:00:00"}"']
        else:
            template += ["expiration_days = 30"]
        path = made.cert.with_suffix(".template")
        path.write_text("\n".join(template) + "\n")
        made.key.write_text(_certtool("--generate-privkey", *KEYS[kind]))
        made.key.chmod(0o600)
        arguments = ["--load-privkey", made.key, "--template", path]
        if signer:
            arguments += ["--generate-certificate", "--load-ca-certificate", signer.cert, "--load-ca-privkey",
                          signer.key]
        else:
            arguments += ["--generate-self-signed"]
        chain = ""
        while signer is not None and getattr(signer, "parent", None) is not None:
            chain += signer.cert.read_text()  # the intermediate, without its own chain
            signer = signer.parent
        own = _certtool(*arguments)
        made.cert.write_text(own[own.index("-----BEGIN"):] + chain)
        return made

    def issue(self, name, *more_names, kind="ecdsa", activation=None, expiration=None, signed=True, extra=()):
        """For the DNS names; `kind` rsa, ecdsa or ed25519; dates as "2020-01-01 00:00:00"; `signed=False`:
        self-signed; `extra`: further lines of certtool's template."""
        self.count += 1
        stem = self.cert.with_suffix("")
        made = Certificate(f"{stem}-{self.count}.pem", f"{stem}-{self.count}.key")
        template = [f'cn = "{name}"', *(f'dns_name = "{n}"' for n in (name, *more_names) if n), "tls_www_server",
                    "tls_www_client", "signing_key", "encryption_key", *extra]
        return self._make(made, template, kind, self if signed else None, activation, expiration)

    def expired(self, name, **more):
        return self.issue(name, activation="2020-01-01 00:00:00", expiration="2020-02-01 00:00:00", **more)
