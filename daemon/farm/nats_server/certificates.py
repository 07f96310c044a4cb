"""A farm's certificate authority, and the certificate for NATS that it signs; made by the command `openssl`."""

import ipaddress
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from daemon.errors import ConfigError

CA, CA_KEY = "ca.pem", "ca.key"
CERTIFICATE, KEY = "server.pem", "server.key"
AUTHORITY_DAYS, DAYS = 7300, 3650
TIMEOUT = 60.0  # s
MAX_CN = 64  # characters of a name in a certificate; programs check `subjectAltName`, which has no such limit
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_authority(folder: Path, name: str) -> None:
    """Make the authority of a farm; raises ConfigError."""
    _openssl(
        "req", "-x509", *_CURVE, "-keyout", folder / CA_KEY, "-out", folder / CA, "-days", AUTHORITY_DAYS,
        "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    (folder / CA_KEY).chmod(0o600)


def make_certificate(folder: Path, hosts: Sequence[str]) -> None:
    """Create a key for NATS, and a certificate for these host names and addresses; raises ConfigError."""
    request, extensions = folder / "server.csr", folder / "server.ext"
    names = ",".join(f"{'IP' if is_address(host) else 'DNS'}:{host}" for host in hosts)
    try:
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
            f"subjectAltName={names}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        _openssl("req", "-new", *_CURVE, "-keyout", folder / KEY, "-out", request, "-subj", f"/CN={hosts[0][:MAX_CN]}")
        _openssl(
            "x509", "-req", "-in", request, "-CA", folder / CA, "-CAkey", folder / CA_KEY, "-CAcreateserial",
            "-days", DAYS, "-extfile", extensions, "-out", folder / CERTIFICATE,
        )  # fmt: skip
    finally:
        request.unlink(missing_ok=True)
        extensions.unlink(missing_ok=True)
    (folder / KEY).chmod(0o600)


def is_address(host: str) -> bool:
    """Tell whether a host is given as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _openssl(*arguments: object) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise ConfigError("the certificates need the command openssl: sudo apt install openssl")
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, without a shell
            [program, *map(str, arguments)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"openssl {arguments[0]} has not ended within {TIMEOUT:g} s") from error
    if done.returncode:
        raise ConfigError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-300:]}")
