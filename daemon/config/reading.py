"""A TOML file → the dataclasses of the sections.

Unknown keys are refused and not ignored: a misspelt key would be a setting without effect.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from daemon.config import named_values
from daemon.config.options import Option, Texts
from daemon.config.sections import COMPANIONS, MAX_MACRO_COMMANDS, MAX_MACROS, Config, Macro, Macros, ProfileConfig
from daemon.errors import ConfigError
from daemon.one_line import is_one_line
from gcode.errors import NozzledError
from gcode.outgoing import check_command

SYSTEM_FILE = Path("/etc/nozzled.toml")
"""Read when neither the command line nor NOZZLED_CONFIG names a file."""

_MAX_SHOWN = 60  # characters of a refused value in a message
MAX_TABLES = 50  # in one list
_COMPANION_SECTIONS = frozenset().union(*COMPANIONS.values())

T = TypeVar("T")


def path_of(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file: `path`, else $NOZZLED_CONFIG, else the system's; None: there is none."""
    if path is not None:
        return path
    if environ.get("NOZZLED_CONFIG"):
        return Path(environ["NOZZLED_CONFIG"])
    return SYSTEM_FILE if SYSTEM_FILE.exists() else None


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration file: `path`, else $NOZZLED_CONFIG, else the system's, else defaults.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    file = path_of(path, environ)
    return Config() if file is None else merge(Config(), _read(file), str(file))


def load_sections(path: Path | None, environ: Mapping[str, str], defaults: Mapping[str, T]) -> dict[str, T]:
    """Read the sections of a companion from the configuration file; a missing section has its default.

    Raises:
        ConfigError: as `load`.
    """
    file = path_of(path, environ)
    tables = {} if file is None else _read(file)
    return {name: merge_section(default, _section(tables, name, file), f"{file}: {name}.")
            for name, default in defaults.items()}  # fmt: skip


def _section(tables: Mapping[str, object], name: str, source: Path | None) -> Mapping[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"{source}: {name} = {_quoted(table)}: must be a section, [{name}]")
    return table


def switched_on(path: Path | None, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the companions that have a section in the file.

    Raises:
        ConfigError: the file cannot be read, or is not TOML.
    """
    file = path_of(path, environ)
    tables = {} if file is None else _read(file)
    return frozenset(name for name, sections in COMPANIONS.items() if any(section in tables for section in sections))


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except ValueError as error:  # TOMLDecodeError, or int() refuses 5,000 digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def merge(base: Config, tables: Mapping[str, object], source: str) -> Config:
    """Return `base` with the values of `tables` (section → key → value) in place of its own.

    Args:
        base: the configuration to start from.
        tables: as tomllib returns them, or made from the command line.
        source: file name or the like, for messages.

    Raises:
        ConfigError: an unknown section or key, or a value of the wrong type or range.
    """
    sections: dict[str, Any] = {}
    for name, table in tables.items():
        if name not in _COMPANION_SECTIONS:
            _refuse_unknown(name, table, Config, f"{source}: ")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{source}: {name} = {_quoted(table)}: must be a section, [{name}]")
        if name in _COMPANION_SECTIONS:
            continue  # the companion reads it
        section = getattr(base, name)
        if name == "profile":
            section = _preset_profile(section, table, source)
        sections[name] = merge_section(section, table, f"{source}: {name}.")
    return replace(base, **sections)


def _preset_profile(profile: ProfileConfig, table: Mapping[str, Any], source: str) -> ProfileConfig:
    """Return the profile of the preset that the table names, else `profile`; the table's other keys override it."""
    from daemon.config.presets import find  # noqa: PLC0415 - it imports this package

    name = table.get("preset", "")
    if not isinstance(name, str) or not name:
        return profile
    try:
        return find(name).profile
    except ConfigError as error:
        raise ConfigError(f"{source}: profile.preset: {error}") from error


def merge_section(section: T, table: Mapping[str, Any], prefix: str) -> T:
    """Return a section with the values of a table; `prefix` names the place of the table in messages.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type or range.
    """
    kinds = get_type_hints(type(section))
    rules = {each.name: each.metadata["option"] for each in fields(section)}  # type: ignore[arg-type]  # a dataclass
    values: dict[str, Any] = {}
    for key, value in table.items():
        _refuse_unknown(key, value, type(section), prefix)
        if not _fits(value, kinds[key], rules[key]):
            raise ConfigError(f"{prefix}{key} = {_quoted(value)}: must be {_allowed(kinds[key], rules[key])}")
        if (cls := rules[key].table_type) is not None:
            values[key] = _tables(value, cls, f"{prefix}{key}")
            continue
        if kinds[key] == Macros:
            values[key] = _macros(value, f"{prefix}{key}")
            continue
        if rules[key].gcode:
            _check_script(value, f"{prefix}{key}")
        values[key] = kinds[key](value)
    if (preset := getattr(section, "preset", "")) and "preset" in values:
        values["preset"] = preset  # its id, not the spelling in the file
    return replace(section, **values)  # type: ignore[type-var]  # a dataclass


def _tables(tables: Iterable[Any], cls: type, key: str) -> tuple[Any, ...]:
    """Return the instances that a list of tables describes.

    Raises:
        ConfigError: one of them cannot be used, two have the same name, or there are too many.
    """
    instances = tuple(
        each if isinstance(each, cls) else merge_section(cls(), _table(each, key), f"{key}[{number}].")
        for number, each in enumerate(tables, 1)
    )
    if len(instances) > MAX_TABLES:
        raise ConfigError(f"{key} has {len(instances)} tables; at most {MAX_TABLES} are allowed")
    names = [name.casefold() for each in instances if (name := getattr(each, "name", ""))]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ConfigError(f"{key}: two tables have the name {_quoted(twice)}")
    return instances


def _table(value: object, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} = {_quoted(value)}: must be a list of tables, [[{key.rpartition(': ')[2]}]]")
    return value


def _macros(tables: Iterable[Any], key: str) -> Macros:
    """Return the buttons that a list of tables describes.

    Raises:
        ConfigError: one of them cannot be used, two have the same name, or there are too many.
    """
    macros: dict[str, Macro] = {}
    for each in tables:
        table = {field.name: getattr(each, field.name) for field in fields(Macro)} if isinstance(each, Macro) else each
        macro = _macro(table, key)
        if macro.name.casefold() in macros:
            raise ConfigError(f"{key}: two buttons have the name {_quoted(macro.name)}")
        macros[macro.name.casefold()] = macro
    if len(macros) > MAX_MACROS:
        raise ConfigError(f"{key} has {len(macros)} buttons; at most {MAX_MACROS} are allowed")
    return tuple(macros.values())


def _macro(table: object, key: str) -> Macro:
    if not isinstance(table, Mapping) or not {"name", "commands"} <= table.keys() <= {
        each.name for each in fields(Macro)
    }:
        raise ConfigError(
            f"{key} = {_quoted(table)}: must have name and commands, may have while_printing, and nothing else"
        )
    name, commands, always = table["name"], table["commands"], table.get("while_printing", False)
    if not _is_text(name) or not name.strip() or len(name) > _MAX_SHOWN:
        raise ConfigError(f"{key}: name = {_quoted(name)}: must be a text of 1 to {_MAX_SHOWN} characters")
    if not _fits(commands, Texts, Option("")) or not 0 < len(commands) <= MAX_MACRO_COMMANDS:
        raise ConfigError(
            f"{key}: commands = {_quoted(commands)}: must be a list of 1 to {MAX_MACRO_COMMANDS} commands"
        )
    if not isinstance(always, bool):
        raise ConfigError(f"{key}: while_printing = {_quoted(always)}: must be true or false")
    for line in commands:
        try:
            check_command(line)
        except NozzledError as error:
            raise ConfigError(f"{key}, {_quoted(name)}: {error}") from error
    return Macro(name.strip(), tuple(commands), always)


def _check_script(lines: Iterable[str], key: str) -> None:
    """Raise ConfigError if the link would refuse a command in the middle of a print."""
    for line in lines:
        # without a job there are no named values
        unknown = named_values.names(line) if key.endswith("connected") else named_values.unknown_names(line)
        if unknown:
            allowed = "none here" if key.endswith("connected") else ", ".join(named_values.NAMES)
            raise ConfigError(f"{key} = {_quoted(line)}: unknown value {{{unknown[0]}}}; allowed: {allowed}")
        try:
            check_command(named_values.example(line))
        except NozzledError as error:
            raise ConfigError(f"{key} = {_quoted(line)}: {error}") from error


def _refuse_unknown(key: str, value: object, section: Any, prefix: str) -> None:
    names = [each.name for each in fields(section)] + (sorted(_COMPANION_SECTIONS) if section is Config else [])
    if key in names:
        return
    import difflib  # noqa: PLC0415 - for mistakes alone

    close = difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    what = "section" if section is Config else "key"
    name = key[:_MAX_SHOWN]
    shown = prefix + (f"[{name}]" if section is Config and isinstance(value, Mapping) else f"{name} = {_quoted(value)}")
    raise ConfigError(f"{shown}: unknown {what}; {hint}known {what}s: {', '.join(names)}")


def _fits(value: object, kind: object, rule: Option) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if kind is str:
        return _is_text(value) and (not rule.choices or value in rule.choices)
    if kind == Macros or rule.table_type is not None:
        return isinstance(value, list | tuple)
    if kind == Texts:
        return isinstance(value, list | tuple) and all(_is_text(each) and each.strip() for each in value)
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return False
    return rule.low <= value <= rule.high  # false for NaN, too


def _is_text(value: object) -> bool:
    """Tell whether this is text on one line: a line break within a command would smuggle in another command."""
    return isinstance(value, str) and is_one_line(value)


def _allowed(kind: object, rule: Option) -> str:
    if rule.choices:
        return "one of " + ", ".join(map(_quoted, rule.choices))
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text in quotes, on one line, without control characters"
    if kind == Texts:
        return "a list of texts, none of them empty or with a line break or another control character"
    if kind == Macros:
        return "a list of tables, each with name and commands"
    if rule.table_type is not None:
        return "a list of tables, each with " + ", ".join(each.name for each in fields(rule.table_type))
    return f"a {'whole ' if kind is int else ''}number from {rule.low} to {rule.high}"


def _quoted(value: object) -> str:
    """Return a refused value for a message: as TOML if possible, and shortened."""
    from daemon.config.writing import toml  # noqa: PLC0415 - for a mistake alone

    text = toml(value) if _is_plain(value) else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def _is_plain(value: object) -> bool:
    """Tell whether this value can be shown as TOML on one line."""
    if isinstance(value, Mapping):
        return all(map(_is_text, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, int | float) or _is_text(value)
