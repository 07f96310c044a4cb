"""`@frozen`: what `@dataclass(frozen=True, slots=True)` is, made in a tenth of the time.

`dataclass` has Python compile up to six methods for each class: 0.5 ms and 9 KB, a hundred times until a printer is
READY, which was a fifth of what a start of the core costs. Here all classes share five of the six, and `__init__` is
compiled for the first instance. `fields`, `replace`, `asdict`, `match` and msgspec see a dataclass like any other.
`@mutable` is the same of `@dataclass(slots=True)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

_T = TypeVar("_T")
_Init = Callable[..., None]

_keys: dict[type, Callable[[Any], object]] = {}
"""What instances are compared by, for the classes of which some have been."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[_T]) -> type[_T]:
    """Make an immutable class with slots of this one, whose instances are equal where their fields are."""
    return _made(cls, _OF_FROZEN, "_set(self, {0!r}, {0})")


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[_T]) -> type[_T]:
    """Make a class with slots of this one, whose instances are equal where their fields are."""
    return _made(cls, _OF_MUTABLE, "self.{0} = {0}")


def _made(cls: type[_T], methods: Mapping[str, object], assign: str) -> type[_T]:
    own = vars(cls)
    cls.__doc__ = cls.__doc__ or cls.__name__  # else `dataclass` works a signature out to put there, 0.2 ms
    made = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    for name, method in methods.items():
        if name not in own:
            setattr(made, name, method)
    if "__init__" not in own:
        _set_init(made, assign)
    return made


def _set_init(made: type, assign: str) -> None:
    def first(self: object, *args: object, **named: object) -> None:
        made.__init__ = init = _compiled(made, assign)  # type: ignore[misc]  # it is this one's place
        init(self, *args, **named)

    made.__init__ = first  # type: ignore[misc]  # as above


def _compiled(made: Any, assign: str) -> _Init:
    """Return the method that takes the fields as arguments, in the order and with the defaults that they have."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
    positional, by_name, body = ["self"], list[str](), list[str]()
    for each in fields(made):
        name = argument = each.name
        if each.default is not MISSING:
            scope[f"_default_{name}"] = each.default
            argument += f"=_default_{name}"
        elif each.default_factory is not MISSING:
            scope[f"_make_{name}"] = each.default_factory
            argument += "=_missing"
            body.append(f"  if {name} is _missing: {name} = _make_{name}()")
        (by_name if each.kw_only else positional).append(argument)
        body.append("  " + assign.format(name))
    if hasattr(made, "__post_init__"):
        body.append("  self.__post_init__()")
    arguments = ", ".join([*positional, *(["*", *by_name] if by_name else [])])
    exec("\n".join([f"def __init__({arguments}):", *body, "  return"]), scope)  # noqa: S102 - as `dataclass` does
    init: _Init = scope["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"  # for who has given too few arguments
    return init


def _key(kind: Any) -> Callable[[Any], object]:
    """Return what takes out of an instance of this class what it is compared by."""
    if (key := _keys.get(kind)) is None:
        names = [each.name for each in fields(kind) if each.compare]
        key = _keys[kind] = attrgetter(*names) if names else lambda _: ()
    return key


def _equals(self: Any, other: object) -> Any:  # a bool, or NotImplemented
    kind = self.__class__
    if other.__class__ is not kind:
        return NotImplemented
    key = _key(kind)
    return self is other or key(self) == key(other)


def _hashed(self: Any) -> int:
    return hash(_key(self.__class__)(self))


def _shown(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _refuse_to_set(_self: object, name: str, _value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, kept in zip(fields(self), state, strict=True):
        object.__setattr__(self, each.name, kept)


_OF_MUTABLE: Mapping[str, object] = {"__eq__": _equals, "__repr__": _shown, "__hash__": None}
_OF_FROZEN: Mapping[str, object] = {
    **_OF_MUTABLE,
    "__hash__": _hashed,
    "__setattr__": _refuse_to_set,
    "__delattr__": _refuse_to_delete,
    "__getstate__": _state,  # as copy and pickle would set what cannot be set
    "__setstate__": _set_state,
}
