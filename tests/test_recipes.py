"""The table of keys in `docs/recipes.md`, which `python -m tests.test_recipes` writes."""

import re
from typing import Any

from stages import params
from stages.catalog import HEADS
from tests.imports import FROM_SCRATCH
from tests.project import ROOT
from tests.schema import sections

PAGE = ROOT / "docs/recipes.md"
TABLE = re.compile(r"(?<=<!-- keys -->\n).*?(?=<!-- end of keys -->)", re.DOTALL)
SECTIONS = {
    "every recipe": params.TrainingRecipe,
    **{name: sections(params.Params.model_fields[name].annotation)[0] for name in FROM_SCRATCH},
    ", ".join(HEADS): params.HeadRecipe,
    "features": params.FeaturesRecipe,
    "backbone": params.Backbone,
}
BOUNDS = {"minimum": ">= {}", "exclusiveMinimum": "> {}", "maximum": "<= {}"}
BOUNDS["exclusiveMaximum"] = "< {}"


def allowed(schema: dict[str, Any]) -> str:
    """The values that a key may have."""
    if "anyOf" in schema:
        kinds = [allowed(kind) for kind in schema["anyOf"] if kind.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema["type"] == "array":
        return f"list of {allowed(schema['items'])}"
    bounds = [text.format(schema[key]) for key, text in BOUNDS.items() if key in schema]
    return f"{schema['type']} {', '.join(bounds)}".strip()


def table() -> str:
    """A row for each key that a section has on its own, optional ones in italics."""
    lines = ["| section | key | value | meaning |", "| --- | --- | --- | --- |"]
    for section, kind in SECTIONS.items():
        schema = kind.model_json_schema()["properties"]
        for key in kind.__annotations__:
            name = f"*`{key}`*" if "default" in schema[key] else f"`{key}`"
            meaning = schema[key]["description"]
            lines.append(f"| {section} | {name} | {allowed(schema[key])} | {meaning} |")
            section = ""
    return "\n".join([*lines, ""])


def test_the_page_has_the_schemas_keys():
    (shown,) = TABLE.findall(PAGE.read_text(encoding="utf-8"))
    assert shown == table(), "python -m tests.test_recipes writes the table again"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda _: table(), page), encoding="utf-8")
