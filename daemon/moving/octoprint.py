"""Reads OctoPrint's base directory, as written by versions 1.3 to 1.11, and changes nothing there.

Users edit these files by hand, and plugins write to them, so unexpected values are skipped and reported.
"""

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from daemon.camera.addresses import stream_of
from daemon.config import CameraConfig
from daemon.errors import FileError
from daemon.front.queue.document import MAX_NOTES_LENGTH
from daemon.moving.inventory import EarlierPrint, Inventory, OldKey, SourceUpload, count_of
from daemon.moving.reading import MAX_ENTRIES, Walk, contains, is_text, printable_name, read_settings_file

PRINTABLE = (".gcode", ".gco", ".g", ".bgcode", ".gcode.gz", ".gcode.3mf")
METADATA = ".metadata.json"
MAX_NAME = 40  # characters of a preset's name
MAX_LISTED = 30  # plugins and other things that are listed by name

BUNDLED_PLUGINS = frozenset({
    "achievements", "action_command_notification", "action_command_prompt", "announcements", "appkeys", "backup",
    "classicwebcam", "corewizard", "cura", "discovery", "errortracking", "eventmanager", "file_check",
    "custombackground", "firmware_check", "forcelogin", "gcodeviewer", "health_check", "logging", "loginui",
    "pi_support", "pluginmanager",
    "preemptive_cache_config.yaml", "printer_safety_check", "serial_connector", "softwareupdate", "tracking",
    "uploadmanager", "virtual_printer",
})  # fmt: skip
"""Plugins that come with OctoPrint."""

FOLDERS = {
    "uploads": "",
    "printerProfiles": "",
    "timelapse": "timelapses",
    "watched": "files in the watched folder",
    "slicingProfiles": "slicing profiles",
    "scripts": "G-code scripts",
    "virtualSd": "the virtual printer's SD card",
    "translations": "translations",
}
"""Folders that may be anywhere → what in them is not imported."""

ADVICE = {
    "G-code scripts": ": set them in [scripts] of the configuration",
    "system commands": ": set them in [system] of the configuration",
}
"""What is not imported → where it can be set."""

FACTORY_PROFILE = ("Generic RepRap Printer", 200.0, 200.0, 200.0)
"""Model, width, depth and height of a profile that was never changed."""


def read(folder: Path) -> Inventory:
    """Return the data in a base directory.

    Raises:
        FileError: this is not a base directory of OctoPrint, or it cannot be read.
    """
    try:
        return _read(_find_base(folder))
    except OSError as error:
        raise FileError(f"cannot read {error.filename or folder}: {error.strerror}; try with sudo") from error


def _read(base: Path) -> Inventory:
    config = _mapping(_yaml(base / "config.yaml"))
    inventory = Inventory()
    folders = {name: folder for name in FOLDERS if (folder := _find_folder(inventory, base, config, name)) is not None}
    if "uploads" in folders:
        _add_uploads(inventory, folders["uploads"])
    if "printerProfiles" in folders:
        _add_default_profile(inventory, folders["printerProfiles"], _mapping(config.get("printerProfiles")))
    _add_presets(inventory, _mapping(config.get("temperature")).get("profiles"))
    _add_webcam(inventory, config)
    inventory.name = _text(_mapping(config.get("appearance")).get("name"))
    _add_keys(inventory, base)
    _add_port_hint(inventory, _mapping(config.get("serial")))
    inventory.not_imported += _list_not_imported(base, config, folders)
    return inventory


def _find_base(folder: Path) -> Path:
    """Return the folder of config.yaml: this one, .octoprint in a home directory, or basedir in an unpacked backup."""
    for each in (folder, folder / ".octoprint", folder / "basedir"):
        try:
            if (each / "config.yaml").is_file():
                return each
        except OSError as error:
            raise FileError(f"cannot read {each}: {error.strerror}; try with sudo") from error
    raise FileError(
        f"{folder} is not OctoPrint's base directory: it has no config.yaml. The base directory is usually "
        "~/.octoprint (/home/pi/.octoprint on OctoPi), or `basedir` in an unpacked backup"
    )


def _find_folder(inventory: Inventory, base: Path, config: dict[str, Any], name: str) -> Path | None:
    """Return one of OctoPrint's folders, which config.yaml may have moved; None: the new path cannot be right."""
    moved = _text(_mapping(config.get("folder")).get(name))
    if not moved:
        return base / name
    try:
        if contains(Path(moved), base):
            inventory.not_imported.append(
                f"files in {moved}, which config.yaml names for {name}: it contains OctoPrint's folder"
            )
            return None
        if Path(moved).is_dir():
            return Path(moved)
        why = "no such folder"
    except OSError as error:
        why = f"{error.strerror}; try with sudo"
    inventory.not_imported.append(f"files in {moved}, which config.yaml names for {name}: {why}")
    return base / name


# -- files -----------------------------------------------------------------------------------------------------------


def _add_uploads(inventory: Inventory, root: Path) -> None:
    others: list[str] = []
    walk = Walk(root, "the uploads")
    for folder, name in walk.files():
        path = f"{folder}/{name}" if folder else name
        if not name.lower().endswith(PRINTABLE):
            others.append(printable_name(path))
        elif not is_text(path):
            inventory.not_imported.append(
                f"{printable_name(path)}, whose name is not UTF-8: rename it and import again"
            )
        elif (why := _add_upload(inventory, root, folder, name)) is not None:
            inventory.not_imported.append(f"{path}, {why}")
    for folder in ("", *walk.folders):
        _add_metadata(inventory, root / folder / METADATA, folder)
    with_files = {folder for each in inventory.uploads for folder in _with_parents(each.folder)}
    inventory.folders = [folder for folder in walk.folders if folder not in with_files and is_text(folder)]
    inventory.uploads.sort(key=lambda each: each.date)
    inventory.not_imported += walk.trouble
    if others:
        inventory.not_imported.append(
            f"{count_of(len(others), 'file')} that {'are' if len(others) > 1 else 'is'} not G-code: {_some(others)}"
        )


def _add_upload(inventory: Inventory, root: Path, folder: str, name: str) -> str | None:
    """Add a file, or return why not. A link is refused, because it could lead to any file of this machine."""
    file = root / folder / name
    try:
        if not file.is_file() or not contains(root, file):
            return "which is a link to another folder" if file.is_symlink() else "which is not a regular file"
        about = file.stat()
    except OSError as error:
        return f"which cannot be read: {error.strerror}"
    inventory.uploads.append(SourceUpload(file, folder, name, about.st_size, about.st_mtime))
    return None


def _with_parents(folder: str) -> Iterator[str]:
    """Yield a folder and all its parents."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _add_metadata(inventory: Inventory, path: Path, folder: str) -> None:
    """Add the prints and notes of the files in a folder."""
    try:
        data = read_settings_file(path)
        metadata = _mapping(json.loads(data)) if data is not None else {}
    except (FileError, ValueError, RecursionError) as error:
        inventory.not_imported.append(
            f"statistics of the files in {folder or 'the uploads'}: {METADATA} cannot be read ({error})"
        )
        return
    display_names = []
    for name, value in metadata.items():
        entry, file_path = _mapping(value), f"{folder}/{name}" if folder else name
        _add_prints(inventory, file_path, entry)
        if notes := _join_notes(entry.get("notes")):
            inventory.notes[file_path] = notes
        if (display := _text(entry.get("display"))) and display != name:
            display_names.append(f"{display} ({file_path})")
    if display_names:
        inventory.not_imported.append(f"display names of files: {_some(display_names)}")


def _add_prints(inventory: Inventory, path: str, entry: dict[str, Any]) -> None:
    user = _text(entry.get("user")) or None
    for each in _list(entry.get("history")):
        ended, seconds = (_number(_mapping(each).get(key)) for key in ("timestamp", "printTime"))
        if ended is not None and ended > 0:
            inventory.prints.append(EarlierPrint(path, ended, seconds, _mapping(each).get("success") is True, user))


def _join_notes(value: Any) -> str:
    """Return notes as one text: plugins write texts, or objects that contain a text."""
    texts = []
    for each in value if isinstance(value, list) else [value]:
        text = (
            next((each[key] for key in ("text", "note", "content") if key in each), "")
            if isinstance(each, dict)
            else each
        )
        if isinstance(text, str):
            texts.append("".join(char if char.isprintable() or char == "\n" else " " for char in text).strip())
    return "\n".join(filter(None, texts))[:MAX_NOTES_LENGTH]


# -- settings --------------------------------------------------------------------------------------------------------


def _add_default_profile(inventory: Inventory, folder: Path, config: dict[str, Any]) -> None:
    """Add the default profile only: there is one printer here."""
    default = _text(config.get("default")) or "_default"
    others = []
    for path in sorted(folder.glob("*.profile")):
        profile = _mapping(_yaml(path))
        if path.stem == default:
            _add_profile(inventory, profile)
        else:
            others.append(_text(profile.get("name")) or path.stem)
    if others:
        inventory.not_imported.append(f"printer profiles other than the default one: {', '.join(others)}")


def _add_profile(inventory: Inventory, profile: dict[str, Any]) -> None:
    volume, extruder = _mapping(profile.get("volume")), _mapping(profile.get("extruder"))
    sizes = tuple(_number(volume.get(side)) for side in ("width", "depth", "height"))
    if (_text(profile.get("model")), *sizes) == FACTORY_PROFILE:
        inventory.not_imported.append(
            "the printer profile, which was never changed: choose a printer on the page or in [profile]"
        )
        return
    ours: dict[str, Any] = {name: text for name in ("name", "model") if (text := _text(profile.get(name)))}
    ours["volume"] = {
        **{side: size for side, size in zip(("width", "depth", "height"), sizes, strict=True) if size},
        **{name: text for name in ("origin", "formFactor") if (text := _text(volume.get(name)))},
    }
    ours |= {name: profile[name] for name in ("heatedBed", "heatedChamber") if isinstance(profile.get(name), bool)}
    tools = {"count": extruder.get("count"), "nozzleDiameter": _number(extruder.get("nozzleDiameter"))}
    tools["sharedNozzle"] = extruder.get("sharedNozzle")
    ours["extruder"] = {name: value for name, value in tools.items() if value is not None}
    inventory.profile = ours
    if box := _mapping(volume.get("custom_box")):
        limits = {name: _number(box.get(name)) for name in ("x_min", "x_max", "y_min", "y_max", "z_min", "z_max")}
        lines = ", ".join(f"{name}_mm = {value:g}" for name, value in limits.items() if value is not None)
        inventory.not_imported.append(
            f"travel of the axes beyond the bed; add to [profile] of the configuration: {lines}"
        )


def _add_presets(inventory: Inventory, profiles: Any) -> None:
    for each in _list(profiles):
        entry = _mapping(each)
        name = _text(entry.get("name"))[:MAX_NAME]
        if name:
            heat = {heater: _degrees(entry.get(heater)) for heater in ("extruder", "bed", "chamber")}
            inventory.presets.append({"name": name, **heat})


def _add_webcam(inventory: Inventory, config: dict[str, Any]) -> None:
    """Add the camera: from the plugin that has it since version 1.9, or from the older settings."""
    plugin = _mapping(_mapping(config.get("plugins")).get("classicwebcam"))
    old = _mapping(config.get("webcam"))
    for ours, theirs in (("streamUrl", "stream"), ("snapshotUrl", "snapshot")):
        if url := _text(plugin.get(theirs)) or _text(old.get(theirs)):
            inventory.webcam[ours] = url
    for name in ("flipH", "flipV", "rotate90"):
        if plugin.get(name, old.get(name)) is True:
            inventory.webcam[name] = True
    stream, snapshot = str(inventory.webcam.get("streamUrl", "")), str(inventory.webcam.get("snapshotUrl", ""))
    if stream.startswith("/") and not stream_of(CameraConfig(stream_url=stream, snapshot_url=snapshot)):
        inventory.hints.append(
            "the camera's address has no host: it needs OctoPi's proxy, which is removed with OctoPrint"
        )


def _add_keys(inventory: Inventory, base: Path) -> None:
    """Add the keys of apps and users."""
    users = {name: user for name, user in _mapping(_yaml(base / "users.yaml")).items() if isinstance(user, dict)}
    for entries in _mapping(_yaml(base / "data/appkeys/keys.yaml")).values():
        for each in _list(entries):
            entry = _mapping(each)
            if name := _text(entry.get("app_id")):
                inventory.keys.append(OldKey(name, _text(entry.get("api_key"))))
            else:
                inventory.not_imported.append("the key of an app whose name is not text on one line")
    for name, user in users.items():
        if key := _text(_mapping(user).get("apikey")):
            inventory.keys.append(OldKey(str(name), key))
    if users:
        inventory.not_imported.append(
            f"{count_of(len(users), 'user')} with passwords and groups: nozzled uses keys instead"
        )


def _add_port_hint(inventory: Inventory, serial: dict[str, Any]) -> None:
    """Add a hint about the printer's port, which is for the administrator to configure."""
    port, rate = _text(serial.get("port")), _number(serial.get("baudrate"))
    if port and port not in ("AUTO", "VIRTUAL"):
        address = f"serial:{port}" + (f"?baudrate={rate:g}" if rate else "")
        inventory.hints.append(f'to use the same port as OctoPrint, set [printer] address = "{address}"')


# -- not imported ----------------------------------------------------------------------------------------------------


def _list_not_imported(base: Path, config: dict[str, Any], folders: dict[str, Path]) -> Iterator[str]:
    plugins = _plugins(base, config)
    if plugins:
        more = f" and {len(plugins) - MAX_LISTED} more" if len(plugins) > MAX_LISTED else ""
        yield f"plugins with their settings and data: {', '.join(plugins[:MAX_LISTED])}{more}"
    for name, what in FOLDERS.items():
        if what and name in folders:
            walk = Walk(folders[name], what)
            if files := sum(1 for _ in walk.files()):
                yield f"{what} ({count_of(files, 'file')}){ADVICE.get(what, '')}"
            yield from walk.trouble
    for section, key, what in (
        ("events", "subscriptions", "programs run at events"),
        ("system", "actions", "system commands"),
        ("controls", "", "custom controls"),
        ("terminalFilters", "", "terminal filters"),
    ):
        value = config.get(section)
        if entries := len(_list(_mapping(value).get(key) if key else value)):
            yield f"{what} ({entries}){ADVICE.get(what, '')}"
    if scripts := _mapping(_mapping(config.get("scripts")).get("gcode")):
        yield f"G-code scripts in the settings: {', '.join(map(str, scripts))}"
    if _mapping(config.get("api")).get("key"):
        yield "the global API key, which had all rights: give each program a key of its own"


def _plugins(base: Path, config: dict[str, Any]) -> list[str]:
    names = {str(name) for name in _mapping(config.get("plugins")) if not str(name).startswith("_")}
    for folder in (base / "plugins", base / "data"):
        if folder.is_dir():
            paths = islice(folder.iterdir(), MAX_ENTRIES)
            names |= {path.stem if path.suffix == ".py" else path.name for path in paths}
    return sorted(name for name in names - BUNDLED_PLUGINS if not name.startswith(("_", ".")))


# -- values of any type ----------------------------------------------------------------------------------------------


def _yaml(path: Path) -> Any:
    """Return the contents of a YAML file; None if it does not exist.

    Raises:
        FileError: it cannot be read, or is not YAML.
    """
    data = read_settings_file(path)
    if data is None:
        return None
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(f"{path} is not valid YAML: {' '.join(str(error).split())[:200]}") from error


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")  # noqa: PLR2004 - enough to recognise them by


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Return text on one line; "" for everything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value).strip()
    return text if text.isprintable() else ""


def _degrees(value: Any) -> int | float | None:
    """Return a temperature; a whole one as a whole number, as clients expect it."""
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else number


def _number(value: Any) -> float | None:
    """Return a number, which may be written as text; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
