"""Units of measure, and conversion between units of the same kind."""

MASS = "mass"
VOLUME = "volume"
COUNT = "count"

# name: (kind, how many of the kind's base unit it holds); the base units are gram, millilitre and piece
UNITS = {
    "g": (MASS, 1.0),
    "kg": (MASS, 1000.0),
    "ml": (VOLUME, 1.0),
    "l": (VOLUME, 1000.0),
    "tsp": (VOLUME, 5.0),
    "tbsp": (VOLUME, 15.0),
    "": (COUNT, 1.0),
}


class UnknownUnit(ValueError):
    """A unit that is not in the table."""


class IncompatibleUnits(ValueError):
    """Two units of different kinds, such as grams and litres."""


def kind_of(unit: str) -> str:
    """Return the kind of a unit: mass, volume or count."""
    return _look_up(unit)[0]


def convert(amount: float, unit: str, to: str) -> float:
    """Express an amount of one unit in another unit of the same kind."""
    kind, size = _look_up(unit)
    other_kind, other_size = _look_up(to)
    if kind != other_kind:
        raise IncompatibleUnits(f"{unit or 'pieces'} and {to or 'pieces'} measure different things")
    return amount * size / other_size


def _look_up(unit: str) -> tuple[str, float]:
    try:
        return UNITS[unit]
    except KeyError:
        raise UnknownUnit(f"there is no unit {unit!r}") from None
