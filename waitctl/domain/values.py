"""Values: dataclasses whose methods are made when they are first needed.

The standard's decorator writes each method of a class as text and compiles it: most of a millisecond a class. A command
loads a hundred classes and uses a dozen, in a tenth of a second. What comes out is the same: ``__init__`` is made with
the first value, what compares values without any text, and the rest, by the standard's own decorator, when one is
shown.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 (to others it is the standard's)
    from dataclasses import replace as replace  # noqa: PLC0414


class _Maker:
    """A class in the place of a plain one, and what is yet to be made of it.

    Two threads may make the same at once: what they make it of is never changed, and either result will do.
    """

    def __init__(self, plain: type[Any], *, frozen: bool, slots: bool, eq: bool) -> None:
        self._plain = plain
        self._how = {"frozen": frozen, "eq": eq}
        self._has_slots = slots
        self._own = {name: each for name, each in vars(plain).items() if name not in {"__dict__", "__weakref__"}}
        self._names = tuple(name for name, kind in plain.__annotations__.items() if not _is_of_the_class(kind))
        self._rest = [*(["__repr__"] if self._own.get("__repr__") is None else []), *_OF_THE_STANDARD]
        self.made = self._class_of(self._space())

    def _class_of(self, space: dict[str, Any]) -> Any:
        metaclass: Any = type(self._plain)
        return metaclass(
            self._plain.__name__, self._plain.__bases__, {**space, "__qualname__": self._plain.__qualname__}
        )

    def _space(self) -> dict[str, Any]:
        """What is in the class from the beginning."""
        space = {name: each for name, each in self._own.items() if name not in self._names}
        space["__match_args__"] = self._names
        if self._has_slots:
            space["__slots__"] = self._names
        if self._how["eq"]:
            space |= {name: each for name, each in self._comparisons().items() if self._own.get(name) is None}
        if self._how["frozen"]:
            space |= _OF_FROZEN
        space["__init__"] = self._stand_in("__init__", self._begin)
        for name in self._rest:
            in_its_place = _Asked if name in _OF_THE_STANDARD else self._stand_in
            space[name] = in_its_place(name, self._finish)
        return space

    def _comparisons(self) -> dict[str, Any]:
        """Values are equal when those fields are that are compared; who can be changed has no hash."""
        defaults = ((name, self._own.get(name)) for name in self._names)
        compared = [name for name, default in defaults if not isinstance(default, Field) or default.compare]
        get: Callable[[Any], Any] = attrgetter(*compared) if compared else lambda _: ()

        def equals(value: Any, other: Any) -> Any:
            return get(value) == get(other) if other.__class__ is value.__class__ else NotImplemented

        return {"__eq__": equals, "__hash__": (lambda value: hash(get(value))) if self._how["frozen"] else None}

    def _stand_in(self, name: str, make: Callable[[], None]) -> Callable[..., Any]:
        def method(value: Any, *arguments: Any, **named: Any) -> Any:
            make()
            return getattr(self.made, name)(value, *arguments, **named)

        return method

    def _begin(self) -> None:
        """Make ``__init__``, as the standard writes it."""
        scope: dict[str, Any] = {"set_": object.__setattr__, "MISSING": MISSING}
        parameters, lines = ["self"], []
        for name in self._names:
            default = self._own.get(name, MISSING)
            value = name
            if isinstance(default, Field) and default.default_factory is not MISSING:
                scope[f"make_{name}"] = default.default_factory
                value = f"make_{name}() if {name} is MISSING else {name}"
                parameters.append(f"{name}=MISSING")
            elif default is MISSING:
                parameters.append(name)
            else:
                scope[f"default_{name}"] = default.default if isinstance(default, Field) else default
                parameters.append(f"{name}=default_{name}")
            lines.append(f"set_(self, {name!r}, {value})")
        if hasattr(self.made, "__post_init__"):
            lines.append("self.__post_init__()")
        exec(f"def __init__({', '.join(parameters)}):\n {'; '.join(lines) or 'pass'}", scope)
        scope["__init__"].__qualname__ = f"{self.made.__qualname__}.__init__"
        scope["__init__"].__annotations__ = self._plain.__annotations__ | {"return": None}
        self.made.__init__ = scope["__init__"]

    def _finish(self) -> None:
        """Have the standard make the rest, of a class like this one."""
        twin = dataclasses.dataclass(**self._how)(self._class_of(dict(self._own)))
        twin.__signature__ = inspect.signature(twin)
        for name in self._rest:
            setattr(self.made, name, getattr(twin, name))


def _is_of_the_class(kind: object) -> bool:
    return str(kind).removeprefix("typing.").startswith("ClassVar")


class _Asked:
    """Stands for an attribute of a class that is made when somebody asks for it."""

    def __init__(self, name: str, make: Callable[[], None]) -> None:
        self._name = name
        self._make = make

    def __get__(self, value: Any, owner: type[Any]) -> Any:
        """Make it, and look again."""
        self._make()
        return getattr(owner, self._name)


_OF_THE_STANDARD = ("__dataclass_fields__", "__dataclass_params__", "__signature__")
"""What the functions beside the standard's decorator go by."""


def _refuse_to_set(value: object, name: str, _: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(value: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(value: Any) -> list[object]:
    return [getattr(value, name) for name in value.__match_args__]


def _set_state(value: Any, state: list[object]) -> None:
    for name, each in zip(value.__match_args__, state, strict=True):
        object.__setattr__(value, name, each)


_OF_FROZEN = {
    "__setattr__": _refuse_to_set,
    "__delattr__": _refuse_to_delete,
    "__getstate__": _state,
    "__setstate__": _set_state,
}


def _dataclass(*, frozen: bool = False, slots: bool = False, eq: bool = True) -> Callable[[type[Any]], type[Any]]:
    """As the standard's ``dataclass``, for classes whose bases have no fields."""
    return lambda plain: _Maker(plain, frozen=frozen, slots=slots, eq=eq).made


def _replace(value: Any, /, **changes: Any) -> Any:
    """As the standard's ``replace``."""
    kept = {name: getattr(value, name) for name in value.__match_args__ if name not in changes}
    return type(value)(**kept, **changes)


def fields_of(value: Any) -> dict[str, Any]:
    """The values of a value's fields by their names: as the standard's ``asdict``, but for values within it."""
    return {name: getattr(value, name) for name in value.__match_args__}


if not TYPE_CHECKING:
    dataclass, replace = _dataclass, _replace
