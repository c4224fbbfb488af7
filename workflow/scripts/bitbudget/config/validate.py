"""Reading YAML and holding it against a schema; every fault is one sentence that names the file and the remedy."""

from __future__ import annotations

import copy
import difflib
import json
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from bitbudget.errors import UserError
from bitbudget.untrusted import foreign_json

SCHEMAS = Path(__file__).parents[3] / "schemas"
TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


# JSON Schema takes 16.0 for a whole number, but `range` and random generators do not.
_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)
MERGE = "tag:yaml.org,2002:merge"  # the key `<<`, whose mapping is put in here


class _Loader(yaml.SafeLoader):
    """YAML whose keys are text, and which refuses one given twice, of which plain YAML would silently keep the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.tag == MERGE:
            continue
        key, problem = loader.construct_object(key_node, deep=True), None
        if not isinstance(key, str):
            written = f"`{key_node.value}`" if isinstance(key_node, yaml.ScalarNode) else "before this colon"
            problem = f"the key {written} is no text; put it in quotes, or remove it"
        elif key in seen:
            problem = f"the key `{key}` stands here a second time; remove one of the two"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises `UserError` for a missing file or broken YAML, with the line."""
    text = foreign_json.read_text(path)
    try:
        content = yaml.load(text, Loader=_Loader)
        json.dumps(content, default=str)  # a list that an alias puts into itself is nobody's intention
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else "?"
        raise UserError(f"{path}, line {line}, is not valid YAML: {fault.problem}.") from None
    except yaml.YAMLError as fault:
        raise UserError(f"{path} is not text in UTF-8 ({str(fault).splitlines()[0]}); save it as such.") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply to be read; write it with fewer levels.") from None
    except ValueError as fault:  # a number, a date or an alias that makes no sense
        raise UserError(f"{path} holds a value that cannot be read ({str(fault).split(';')[0]}); correct it.") from None
    foreign_json.check(content, str(path))
    return content


def schema(name: str) -> dict[str, Any]:
    """The JSON schema `workflow/schemas/{name}.schema.json`."""
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def check(content: Any, rules: dict[str, Any], where: str) -> None:
    """Raise `UserError` with one sentence for the first fault of `content`; `where` names the file or entry."""
    faults = list(_Validator(rules).iter_errors(content))
    if faults:
        raise UserError(f"{where}: {_sentence(min(faults, key=_order))}")


def _order(fault: ValidationError) -> tuple[int, bool, str]:
    """Outer faults before inner ones; and a key that does not exist is often the misspelt one that is missing."""
    return len(fault.absolute_path), fault.validator != "additionalProperties", str(fault.absolute_path)


def _sentence(fault: ValidationError) -> str:
    """What is wrong and what would be right."""
    place = _place([*fault.absolute_path])
    inside = f" in {place}" if place else ""
    given, wanted = fault.instance, fault.validator_value
    at = f"{place or 'it'} is {_shown(given)}"
    match fault.validator:
        case "additionalProperties":
            return _unknown_key(given, list(fault.schema.get("properties", {})), inside)
        case "required":
            return f"the key `{next(key for key in wanted if key not in given)}` is missing{inside}; add it."
        case "oneOf":
            return _no_form(fault, at, inside)
        case "minItems" | "minProperties":
            return f"{place} is empty; name at least one, or leave the key out where it has a default."
        case "uniqueItems":
            twice = next(item for item in given if given.count(item) > 1)
            return f"{place} names {_shown(twice)} more than once; name it once."
        case "minLength" if not _meaning(fault):
            return f"{at}, and must not be empty."
        case "pattern" if "propertyNames" in fault.absolute_schema_path:
            return f"the name {given!r}{inside} does not fit: {_meaning(fault)}."
        case "type":
            types = [wanted] if isinstance(wanted, str) else wanted
            must = " or ".join(TYPES[name] for name in types)
        case "enum":
            must = "one of " + ", ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in wanted)
        case "const":
            must = json.dumps(wanted)
        case "minimum":
            must = f"at least {wanted}"
        case "exclusiveMinimum":
            must = f"more than {wanted}"
        case "maximum":
            must = f"at most {wanted}"
        case _:  # a pattern or a shortest length, which only the key's description can say in words
            return f"{at}, which does not fit: {_meaning(fault)}."
    meaning = _meaning(fault)
    return f"{at}, and must be {must}" + (f" ({meaning})." if meaning else ".")


def _place(path: list[str | int]) -> str:
    """`images.max_side`, entry 2 of `models`, or `name` of that entry; nothing for the file as a whole."""
    last = max((index for index, part in enumerate(path) if isinstance(part, int)), default=None)
    if last is None:
        return f"`{'.'.join(path)}`" if path else ""
    entry = f"entry {path[last] + 1} of {_place(path[:last])}"
    return f"{_place(path[last + 1 :])} of {entry}" if path[last + 1 :] else entry


def _shown(value: Any) -> str:
    """A value in a sentence: as YAML would have it, and not too long."""
    if isinstance(value, dict | list):
        return TYPES["object" if isinstance(value, dict) else "array"]
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _meaning(fault: ValidationError) -> str:
    """The first sentence of a key's description, without its full stop."""
    return fault.schema.get("description", "").split(". ")[0].rstrip(".")


def _unknown_key(given: dict[str, Any], known: list[str], inside: str) -> str:
    unknown = next(key for key in given if key not in known)
    if not known:
        return f"there is no key `{unknown}`{inside}, nor any other; remove it."
    close = difflib.get_close_matches(str(unknown), known, n=1)
    remedy = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}."
    return f"there is no key `{unknown}`{inside}; {remedy}"


def _no_form(fault: ValidationError, at: str, inside: str) -> str:
    """A value may take one of several forms: what is wrong with the one it was meant to take, or else all forms."""
    forms = fault.validator_value
    if all("required" in form and "type" not in form for form in forms):
        *keys, last = (f"`{form['required'][0]}`" for form in forms)
        keys = f"{', '.join(keys)} and {last}"
        return f"exactly one of {keys} must stand{inside}; add one, or remove the other."
    others = {
        inner.schema_path[0] for inner in fault.context if not inner.path and inner.validator in ("type", "const")
    }
    meant = [inner for inner in fault.context if inner.schema_path[0] not in others]
    if meant:
        return _sentence(min(meant, key=_order))
    *titles, last = (form["title"] for form in forms)
    return f"{at}, and must be {', '.join(titles)} or {last}."


def with_defaults(content: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    """A copy of `content` with every default of the schema filled in, also in nested mappings."""
    filled = copy.deepcopy(content)
    for key, rule in rules.get("properties", {}).items():
        if key not in filled and "default" in rule:
            filled[key] = copy.deepcopy(rule["default"])
        if isinstance(filled.get(key), dict) and "properties" in rule:
            filled[key] = with_defaults(filled[key], rule)
    return filled
