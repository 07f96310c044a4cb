"""Configuration: a TOML file → frozen dataclasses (`reading`), and back with every key explained (`writing`).

The dataclasses of `sections` and of the companions' `config` modules are the only source: the type, default and
`option` of a field say what is accepted, and what is written.
"""

from daemon.config.options import Option, Texts, option
from daemon.config.places import UPLOADS, core_socket, key_file, logbook_file, state_dir, stop_socket
from daemon.config.reading import load, load_sections, merge, path_of, switched_on
from daemon.config.sections import (
    COMPANIONS,
    FIRMWARES,
    ApiConfig,
    AppearanceConfig,
    CameraConfig,
    Config,
    DiscoveryConfig,
    HttpConfig,
    JobConfig,
    LinkConfig,
    LogConfig,
    Macro,
    Macros,
    PathsConfig,
    PauseConfig,
    PrinterConfig,
    ProfileConfig,
    SafetyConfig,
    ScriptsConfig,
    SystemConfig,
    WebcamConfig,
)

__all__ = [
    "COMPANIONS",
    "FIRMWARES",
    "UPLOADS",
    "ApiConfig",
    "AppearanceConfig",
    "CameraConfig",
    "Config",
    "DiscoveryConfig",
    "HttpConfig",
    "JobConfig",
    "LinkConfig",
    "LogConfig",
    "Macro",
    "Macros",
    "Option",
    "PathsConfig",
    "PauseConfig",
    "PrinterConfig",
    "ProfileConfig",
    "SafetyConfig",
    "ScriptsConfig",
    "SystemConfig",
    "Texts",
    "WebcamConfig",
    "core_socket",
    "key_file",
    "load",
    "load_sections",
    "logbook_file",
    "merge",
    "option",
    "path_of",
    "state_dir",
    "stop_socket",
    "switched_on",
]
