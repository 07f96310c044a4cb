"""`@frozen`: a `@dataclass(frozen=True, slots=True)` that is created in a tenth of the time.

`dataclass` compiles up to six methods for each class, which takes 0.5 ms and 9 KB. For the hundred classes that the
core needs until a printer is READY, that was a fifth of its start-up cost. Here all classes share five of the six
methods, and `__init__` is compiled for the first instance. To `fields`, `replace`, `asdict`, `match` and msgspec it is
a dataclass like any other. `@mutable` is a `@dataclass(slots=True)` created in the same way.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

_T = TypeVar("_T")
_Init = Callable[..., None]

_keys: dict[type, Callable[[Any], object]] = {}
"""The comparison key of each class whose instances have been compared."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[_T]) -> type[_T]:
    """Make a class an immutable dataclass with slots."""
    return _build(cls, _FROZEN_METHODS, "_set(self, {0!r}, {0})")


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[_T]) -> type[_T]:
    """Make a class a dataclass with slots."""
    return _build(cls, _MUTABLE_METHODS, "self.{0} = {0}")


def _build(cls: type[_T], methods: Mapping[str, object], assign: str) -> type[_T]:
    own = vars(cls)
    cls.__doc__ = cls.__doc__ or cls.__name__  # otherwise `dataclass` computes a signature for it, 0.2 ms
    result = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    for name, method in methods.items():
        if name not in own:
            setattr(result, name, method)
    if "__init__" not in own:
        _set_init(result, assign)
    return result


def _set_init(cls: type, assign: str) -> None:
    def first(self: object, *args: object, **named: object) -> None:
        cls.__init__ = init = _compile_init(cls, assign)  # type: ignore[misc]  # it replaces this function
        init(self, *args, **named)

    cls.__init__ = first  # type: ignore[misc]  # as above


def _compile_init(cls: Any, assign: str) -> _Init:
    """Return the `__init__` that takes the fields as arguments, in their order and with their defaults."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
    positional, by_name, body = ["self"], list[str](), list[str]()
    for each in fields(cls):
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
    if hasattr(cls, "__post_init__"):
        body.append("  self.__post_init__()")
    arguments = ", ".join([*positional, *(["*", *by_name] if by_name else [])])
    exec("\n".join([f"def __init__({arguments}):", *body, "  return"]), scope)  # noqa: S102 - as `dataclass` does
    init: _Init = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"  # for the message about a missing argument
    return init


def _key(kind: Any) -> Callable[[Any], object]:
    """Return the function that returns the comparison key of an instance."""
    if (key := _keys.get(kind)) is None:
        names = [each.name for each in fields(kind) if each.compare]
        key = _keys[kind] = attrgetter(*names) if names else lambda _: ()
    return key


def _equals(self: Any, other: object) -> Any:  # a bool or NotImplemented
    kind = self.__class__
    if other.__class__ is not kind:
        return NotImplemented
    key = _key(kind)
    return self is other or key(self) == key(other)


def _hash(self: Any) -> int:
    return hash(_key(self.__class__)(self))


def _show(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _refuse_to_set(_self: object, name: str, _value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)


_MUTABLE_METHODS: Mapping[str, object] = {"__eq__": _equals, "__repr__": _show, "__hash__": None}
_FROZEN_METHODS: Mapping[str, object] = {
    **_MUTABLE_METHODS,
    "__hash__": _hash,
    "__setattr__": _refuse_to_set,
    "__delattr__": _refuse_to_delete,
    "__getstate__": _get_state,  # because copy and pickle cannot set the fields
    "__setstate__": _set_state,
}
