"""Writes the configuration as TOML, each key with its meaning and default."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from daemon.config.options import Texts
from daemon.config.sections import Config, Macro, Macros, ProfileConfig


def render(config: Config) -> str:
    """Write the configuration as TOML, every key with its comment; `load` reads it back as it was."""
    return "\n".join(render_section(each.name, getattr(config, each.name)) for each in fields(config))


def render_section(name: str, section: Any) -> str:
    """Write one section."""
    lines = [f"# {type(section).__doc__}", f"[{name}]"]
    kinds = get_type_hints(type(section))
    of_preset = _preset_profile(section)
    for each in fields(section):
        rule = each.metadata["option"]
        limits = (
            ""
            if kinds[each.name] in (bool, str, Texts, Macros) or rule.table_type
            else f" From {rule.low} to {rule.high}."
        )
        if rule.choices:
            limits = f" One of {', '.join(each or 'nothing' for each in rule.choices)}."
        lines.append(f"# {rule.doc}{limits} Default: {toml(each.default)}")
        lines += _table_comments(rule.table_type) if rule.table_type else []
        value = getattr(section, each.name)
        is_preset = of_preset is not None and each.name != "preset" and value == getattr(of_preset, each.name)
        lines.append(f"{'# ' if is_preset else ''}{each.name} = {toml(value)}")
    return "\n".join(lines) + "\n"


def _table_comments(cls: type) -> list[str]:
    """Return the comment on the keys of one table of a list."""
    keys = ((each.name, each.metadata["option"], each.default) for each in fields(cls))
    return [f"#   {name}: {rule.doc} Default: {toml(default)}" for name, rule, default in keys]


def _preset_profile(section: Any) -> ProfileConfig | None:
    """Return the profile of the preset, whose values are written as comments; None: no preset is chosen."""
    from daemon.config.presets import find  # noqa: PLC0415 - it reads a large file

    return find(section.preset).profile if isinstance(section, ProfileConfig) and section.preset else None


def toml(value: object) -> str:
    """Return a value as TOML; its texts hold no control characters, as `load` refuses them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Macro):
        always = ", while_printing = true" if value.while_printing else ""
        return f"{{name = {toml(value.name)}, commands = {toml(value.commands)}{always}}}"
    if is_dataclass(value):
        changed = (
            (each.name, getattr(value, each.name))
            for each in fields(value)
            if getattr(value, each.name) != each.default
        )
        return "{" + ", ".join(f"{name} = {toml(what)}" for name, what in changed) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {toml(what)}" for name, what in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
