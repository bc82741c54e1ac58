"""Repairs: what a recipe changes in the installed libraries so that its type runs at all.

They last as long as the child, which runs this one type. What another version has right by itself is left alone, and
its cells pass as shipped.
"""

import importlib
import inspect
import os
import textwrap
from typing import Any

from harness.records import Api, Recipe, Repair


def mend(recipe: Recipe | None, api: Api) -> list[str]:
    """Make the recipe's repairs; the names of those that changed something here."""
    repairs = recipe.repairs if recipe else {}
    due = {name: one for name, one in repairs.items() if one.api in (None, api)}
    for name, one in due.items():
        if name not in _CHANGED:
            _CHANGED[name] = _changed_something(one)
    return [name for name in due if _CHANGED[name]]


_CHANGED: dict[str, bool] = {}
"""By name, what the first cell of this child found; for the next it is done already."""


def _changed_something(repair: Repair) -> bool:
    os.environ.update(repair.environment)
    changed = [bool(repair.environment)]
    changed += [_set_attribute(place, value) for place, value in repair.attributes.items()]
    changed += [_add_base(place, base) for place, base in repair.inherits.items()]
    if repair.function is not None:
        changed.append(_mend_function(repair.function, repair))
    return any(changed)


def _set_attribute(place: str, value: Any) -> bool:
    owner, name, _ = _found(place)
    if owner is None or getattr(owner, name, None) == value:
        return False
    setattr(owner, name, value)
    return True


def _add_base(place: str, base: str) -> bool:
    """Have the class inherit from another besides; False where it does, or where this version has no such class."""
    (owner, name, _), (there, base_name, _) = _found(place), _found(base)
    one, inherited = getattr(owner, name, None), getattr(there, base_name, None)
    if one is None or inherited is None or issubclass(one, inherited):
        return False
    one.__bases__ = (*one.__bases__, inherited)
    return True


def _mend_function(place: str, repair: Repair) -> bool:
    """Define the function again with the text replaced; False where this version does not have the text."""
    owner, name, module = _found(place)
    function = getattr(owner, name, None)
    source = textwrap.dedent(inspect.getsource(function)) if function else ""
    if repair.replace not in source or (repair.unless and repair.unless in source):
        return False
    source = source.replace(repair.replace, repair.by)  # before it is indented: the text may have several lines
    made: dict[str, Any] = {}
    if inspect.isclass(owner):  # within a class of the same name, which some decorators look at
        source = f"class {owner.__name__}:\n" + textwrap.indent(source, "    ")
    code = compile(source, f"{place} (repaired)", "exec")
    exec(code, vars(module), made)  # noqa: S102 -- the library's own source, with what a row of data/ changes in it
    setattr(owner, name, getattr(made[owner.__name__], name) if inspect.isclass(owner) else made[name])
    return True


def _found(place: str) -> tuple[Any, str, Any]:
    """What ``module:Class.name`` stands in, its last name, and the module; nothing where this version has no such."""
    module_name, _, path = place.partition(":")
    *classes, name = path.split(".")
    try:
        module: Any = importlib.import_module(module_name)
    except ImportError:
        return None, name, None
    owner = module
    for one in classes:
        owner = getattr(owner, one, None)
    return owner, name, module
