"""Every key that `params.yaml` may have, from the schema, and other values for it."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from stages import params

# What the value of such a key is the name of: a recipe in this section.
NAMED = {"features": "features", "recipe": "lenet"}


class Key(NamedTuple):
    """A key by its dotted name, and what `params.yaml` has there, None without it."""

    name: str
    field: FieldInfo
    value: Any

    def others(self, content: dict[str, Any]) -> list[Any]:
        """Values that the key may have, and does not have now."""
        values = [*(self.field.examples or []), *_members(self.field.annotation)]
        if section := NAMED.get(self.name.rpartition(".")[2]):
            values += content[section]
        if not self.field.is_required():
            values.append(None)
        return [value for value in values if value != self.value]


def keys(
    content: dict[str, Any], section: type[params.Section] = params.Params, prefix: str = ""
) -> Iterator[Key]:
    """The keys of a section that has `content`; those that it may have besides as well."""
    for name, field in section.model_fields.items():
        value = content.get(name)
        inner = sections(field.annotation)
        if get_origin(field.annotation) is dict:
            for recipe in value:
                yield from keys(value[recipe], *inner, f"{prefix}{name}.{recipe}.")
        elif isinstance(value, dict):
            yield from keys(value, *inner, f"{prefix}{name}.")
        else:
            yield Key(f"{prefix}{name}", field, value)


def sections(kind: Any) -> list[type[params.Section]]:
    """The sections that a type holds, not those in them."""
    if isinstance(kind, type) and issubclass(kind, params.Section):
        return [kind]
    return [section for part in get_args(kind) for section in sections(part)]


def _members(kind: Any) -> list[Any]:
    if kind is bool:
        return [True, False]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [member for part in get_args(kind) for member in _members(part)]
