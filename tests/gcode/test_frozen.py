"""`@frozen` behaves as the dataclass that it replaces."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import msgspec
import pytest

from gcode.frozen import frozen, mutable


class Base:
    """The base of the frozen and the mutable class."""

    __slots__ = ()

    @property
    def both(self) -> str:
        """Return something made of fields."""
        return f"{getattr(self, 'name')}"  # noqa: B009 - no field of this class


def made_by(decorate: Callable[[type], type]) -> Any:
    @decorate
    class Made(Base):
        """A doc."""

        name: str
        size: int = 3
        words: list[str] = field(default_factory=list)
        aside: int = field(default=0, compare=False)
        secret: str = field(default="x", repr=False)
        late: float = field(default=0.5, kw_only=True)

    return Made


STANDARD, OURS = made_by(dataclass(frozen=True, slots=True)), made_by(frozen)


@frozen
class Kept:
    """A class that pickle can find."""

    name: str
    size: int = 1


@frozen
class Inherits(Kept):
    """A class with another field."""

    more: str = ""

    def __post_init__(self) -> None:
        """Check."""
        if self.more == "wrong":
            raise ValueError(self.more)


@frozen
class Nothing:
    """A class without fields."""


@pytest.mark.parametrize(
    ("args", "named"),
    [(("a",), {}), (("a", 4, ["w"], 1), {}), (("a",), {"late": 1.0, "secret": "y"}), ((), {"name": "b"})],
)
def test_a_frozen_class_behaves_like_a_frozen_dataclass(args: tuple[Any, ...], named: dict[str, Any]) -> None:
    ours, standard = OURS(*args, **named), STANDARD(*args, **named)
    assert repr(ours) == repr(standard)
    assert asdict(ours) == asdict(standard)
    assert [each.name for each in fields(ours)] == [each.name for each in fields(standard)]
    assert OURS.__match_args__ == STANDARD.__match_args__
    assert OURS.__slots__ == STANDARD.__slots__
    assert repr(replace(ours, size=9)) == repr(replace(standard, size=9))
    assert ours.both == standard.both
    assert msgspec.msgpack.encode(ours) == msgspec.msgpack.encode(standard)
    assert msgspec.convert(asdict(ours), OURS) == ours


@pytest.mark.parametrize(("args", "named"), [((), {}), (("a", 1, [], 0, "x", 1.0), {}), (("a",), {"unknown": 1})])
def test_wrong_arguments_are_refused_with_the_same_message(args: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as standard:
        STANDARD(*args, **named)
    for _ in range(2):  # also once it is compiled
        with pytest.raises(TypeError) as ours:
            OURS(*args, **named)
        assert str(ours.value) == str(standard.value)


def test_equality_needs_the_same_class_and_compared_fields() -> None:
    assert OURS("a") == OURS("a", aside=1)
    assert OURS("a") != OURS("a", 4)
    assert OURS("a") != STANDARD("a")
    assert Kept("a") != Inherits("a")
    assert Nothing() == Nothing()
    assert {Kept("a"): 1}[Kept("a")] == 1
    assert hash(Kept("a")) != hash(Kept("b"))
    assert OURS("a").words is not OURS("a").words


def test_a_frozen_value_cannot_be_changed() -> None:
    value = Kept("a")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'name'"):
        value.name = "b"  # type: ignore[misc]  # that is what is tested
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'name'"):
        del value.name
    with pytest.raises(FrozenInstanceError):
        value.other = 1  # type: ignore[attr-defined]  # as above
    assert not hasattr(value, "__dict__")


def test_copies_are_equal() -> None:
    for each in (Kept("a", 2), Inherits("a", 2, "m"), Nothing()):
        assert copy.copy(each) == copy.deepcopy(each) == pickle.loads(pickle.dumps(each)) == each


def test_a_mutable_value_can_be_changed_and_is_not_hashable() -> None:
    ours, standard = made_by(mutable), made_by(dataclass(slots=True))
    one, other = ours("a", 4, ["w"], late=1.0), ours("a", 4, ["w"])
    assert repr(one) == repr(standard("a", 4, ["w"], late=1.0))
    assert one != other
    one.late = 0.5
    assert one == other == replace(one) == copy.deepcopy(one)
    assert ours.__hash__ is standard.__hash__ is None
    with pytest.raises(AttributeError):
        one.unknown = 1


def test_methods_of_the_class_itself_are_kept() -> None:
    @frozen
    class Own:
        """A class with methods of its own."""

        name: str

        def __repr__(self) -> str:
            """Return its own."""
            return "own"

        def __hash__(self) -> int:
            """Return its own."""
            return 7

    assert (repr(Own("a")), hash(Own("a"))) == ("own", 7)
    with pytest.raises(ValueError, match="wrong"):
        Inherits("a", 1, "wrong")
