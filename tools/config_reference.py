"""The reference page of the configuration, from its JSON schema."""

import json
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

INTRODUCTION = """# Configuration

Every key of a configuration file. `make schema` writes this page and `config/schema.json` from `scripts/nep/config/`.
A key that is not listed is an error. [reruns.md](reruns.md) shows what a change of each key runs again.
"""
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
BOUNDS |= {"multipleOf": "multiple of {}"}
TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`", "null": "null"}


def reference_page(schema: Schema) -> str:
    """docs/configuration.md: one section a block, one row a key."""
    blocks = schema["$defs"]
    places: dict[str, list[str]] = {}
    for name, place in _nested(schema, "", blocks):
        places.setdefault(name, []).append(place)
    links = {name: _link(found[0]) for name, found in places.items()}
    contents = "\n".join(f"- {link}" for link in links.values())
    sections = [_section(blocks[name], found, links, blocks) for name, found in places.items()]
    return "\n".join([INTRODUCTION, contents, "", _table(schema, links, blocks), "", *sections])


def _nested(block: Schema, place: str, blocks: Schema) -> Iterator[tuple[str, str]]:
    """Every block below one, with the place that it has in a configuration file; a named block stands for all."""
    for key, value in block["properties"].items():
        child = f"{place}.{key}".lstrip(".")
        if value.get("type") == "object":
            child, value = f"{child}.<name>", _item_of(value)
        if name := _block_of(value):
            yield name, child
            yield from _nested(blocks[name], child, blocks)


def _block_of(value: Schema | bool) -> str | None:
    """The block that a value is, or may be; true, as JSON schema says it, may be anything."""
    options = value.get("anyOf", [value]) if isinstance(value, dict) else []
    return next((option["$ref"].rpartition("/")[2] for option in options if "$ref" in option), None)


def _item_of(mapping: Schema) -> Schema | bool:
    """What the values of a mapping are: names with a pattern are told apart from others by JSON schema."""
    (item,) = mapping.get("patternProperties", {"": mapping.get("additionalProperties")}).values()
    return item


def _section(block: Schema, places: list[str], links: dict[str, str], blocks: Schema) -> str:
    others = f"The same keys: {', '.join(f'`{place}`' for place in places[1:])}.\n\n" if places[1:] else ""
    return f"## `{places[0]}`\n\n{block['description']}\n\n{others}{_table(block, links, blocks)}\n"


def _table(block: Schema, links: dict[str, str], blocks: Schema) -> str:
    required = set(block.get("required", ()))
    rows = [_row(key, value, key in required, links, blocks) for key, value in block["properties"].items()]
    return "\n".join(["| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows])


def _row(key: str, value: Schema, required: bool, links: dict[str, str], blocks: Schema) -> str:
    name = _block_of(value)
    default = "required" if required else "" if name and value.get("default") is not None else _code(value["default"])
    meaning = value["description"] if "description" in value else blocks[name]["description"].partition("\n")[0]
    cells = (f"`{key}`", _type(value, links), default, meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(value: Schema | bool, links: dict[str, str]) -> str:
    """What a value may be, in words."""
    if value is True:
        return "any"
    if "$ref" in value:
        return links[_block_of(value)]
    if "anyOf" in value:
        return " or ".join(_type(option, links) for option in value["anyOf"])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", [value.get("const")]))
    if value["type"] == "array":
        if "prefixItems" in value:
            return f"[{', '.join(_type(item, links) for item in value['prefixItems'])}]"
        return f"list of {_type(value['items'], links)}"
    if value["type"] == "object":
        names = value.get("propertyNames", {})
        key = _type({"type": "string", **names}, links) if "enum" in names else "name"
        return f"{key} → {_type(_item_of(value), links)}"
    bounds = [text.format(_number(value[bound])) for bound, text in BOUNDS.items() if bound in value]
    return " ".join([TYPES[value["type"]], ", ".join(bounds)]).rstrip()


def _link(place: str) -> str:
    anchor = "".join(letter for letter in place.lower() if letter.isalnum() or letter in "_-")
    return f"[`{place}`](#{anchor})"


def _code(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _number(value: float) -> str:
    return f"{value:g}"
