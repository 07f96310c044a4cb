"""The section [mqtt] of the configuration file. It holds no secrets."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from daemon.companions.mqtt.topics import MAX_LENGTH, clean
from daemon.config import load_sections
from daemon.config.home import expand_home
from daemon.config.options import option
from daemon.errors import ConfigError
from gcode.frozen import frozen

MAX_MIGRATED = 32  # topics
CREDENTIAL = "nozzled.mqtt-password"
PLACEHOLDER = "#"  # the unit's credential if there is no password
PASSWORD_VARIABLE = "NOZZLED_MQTT_PASSWORD"  # noqa: S105 - the name of a variable


@frozen
class MqttConfig:
    """An MQTT broker; `nozzled mqtt serve` publishes the state of printer and print to it."""

    host: str = option("", "Name or address of the broker.")
    port: int = option(0, "Its TCP port; 0: 8883 with tls, else 1883.", low=0, high=65535)
    tls: bool = option(default=False, doc="Encrypt the connection, and check the broker's certificate.")
    ca_file: str = option(
        "", "Certificate of the broker's certificate authority; empty: the authorities that this computer trusts."
    )
    cert_file: str = option("", "Client certificate, if the broker asks for one.")
    cert_key_file: str = option("", "Its private key.")
    username: str = option("", "User name; empty: none.")
    password_file: str = option(
        "",
        "File with the user's password (chmod 600); empty: the credential nozzled.mqtt-password, or "
        "$NOZZLED_MQTT_PASSWORD.",
    )
    prefix: str = option("nozzled", "Prefix of all topics.")
    id: str = option(
        "",
        "Second part of all topics, unique to the printer: letters, digits, - and _; empty: from the service's id.",
    )
    url: str = option("", "Address of the printer's page, for users; empty: the address that this process uses.")
    home_assistant: bool = option(default=True, doc="Let Home Assistant discover the printer.")
    discovery_prefix: str = option("homeassistant", "Home Assistant's discovery prefix.")
    migrate_from: tuple[str, ...] = option(
        (),
        "Topics at which another program has announced entities to Home Assistant; nozzled takes over those with the "
        "same unique ids as its own.",
    )
    commands: bool = option(
        default=False,
        doc="Accept commands to pause, resume, cancel, stop, heat and switch the power from anyone who may publish "
        "them: set up the broker's access rights first.",
    )
    temperature_step_c: float = option(
        0.5, "A temperature that changes by this many °C is published at once.", low=0.1, high=50
    )
    temperature_every_s: float = option(5.0, "Seconds after which a smaller change is published.", low=1, high=3600)
    keepalive_s: int = option(
        15, "Seconds of silence after which each side checks whether the other still answers.", low=5, high=600
    )

    @property
    def broker_port(self) -> int:
        """The broker's TCP port."""
        return self.port or (8883 if self.tls else 1883)


def read(path: Path | None, environ: Mapping[str, str]) -> MqttConfig:
    """Return the section of the configuration file.

    Raises:
        ConfigError: it cannot be used, or names no broker.
    """
    config = load_sections(path, environ, {"mqtt": MqttConfig()})["mqtt"]
    check(config)
    return config


def check(config: MqttConfig) -> None:
    """Refuse values that cannot work; raises ConfigError."""
    if not config.host:
        raise ConfigError('mqtt.host = "": must be the name or address of the broker')
    if config.id and clean(config.id) != config.id:
        raise ConfigError(f"mqtt.id = {config.id[:80]!r}: must be at most {MAX_LENGTH} letters, digits, - and _")
    for name in ("prefix", "discovery_prefix"):
        value = getattr(config, name)
        if not value or any(each in value for each in "#+") or value.startswith("$") or "" in value.split("/"):
            raise ConfigError(f"mqtt.{name} = {value[:60]!r}: must be a topic without # and +")
    if len(config.migrate_from) > MAX_MIGRATED or any(each in topic for topic in config.migrate_from for each in "#+"):
        raise ConfigError(f"mqtt.migrate_from: must be at most {MAX_MIGRATED} topics, without # and +")
    if bool(config.cert_file) != bool(config.cert_key_file):
        raise ConfigError("mqtt.cert_file and mqtt.cert_key_file: set both, or neither")


def password(config: MqttConfig, environ: Mapping[str, str]) -> str | None:
    """Return the password; None: there is none.

    Raises:
        ConfigError: the password file cannot be read.
    """
    if config.password_file:
        path = expand_home(config.password_file)
        try:
            return path.read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"mqtt.password_file: cannot read {path}: {error}") from error
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        try:
            text = (Path(credentials) / CREDENTIAL).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            text = ""
        if text and text != PLACEHOLDER:
            return text
    return environ.get(PASSWORD_VARIABLE) or None


def tls_context(config: MqttConfig) -> ssl.SSLContext | None:
    """Return the TLS settings of the connection; None: it is not encrypted.

    Raises:
        ConfigError: a certificate cannot be used.
    """
    if not config.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.cert_key_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"mqtt: cannot use a certificate: {error}") from error
    return context
