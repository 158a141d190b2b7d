"""What patterns mean, written down as slowly and plainly as possible from the sheet of Lambda's semantics, §6.

Nothing here is shared with the engine. An event is taken apart into its fields; each field knows its path, its value
and the array elements that lead to it. A pattern is written out into all ways to choose the branches of its `$or`s. It
matches if for one of these ways one field can be chosen for each condition so that no array is entered through two
different elements.

The sheet leaves one thing open: into which elements of an array `exists: false` looks. Conditions are taken in the
order of their paths here, as AWS's machine takes them, and it looks into those that agree with the fields chosen so
far.
"""

import ipaddress
import itertools
import struct


def matches(pattern: dict, event: dict) -> bool:
    fields = list(fields_of(event, "", {}, itertools.count()))
    return any(choose(sorted(rule.items()), fields, {}) for rule in rules_of(pattern, "", [{}]))


def fields_of(value, path, elements, arrays):
    """Give every field: (path, value, {array: place})."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from fields_of(each, f"{path}.{key}" if path else key, elements, arrays)
    elif isinstance(value, list):
        array = next(arrays)
        for place, each in enumerate(value):
            inside = {**elements, array: place} if isinstance(each, dict | list) else elements
            yield from fields_of(each, path, inside, arrays)
    else:
        yield path, value, elements


def rules_of(pattern, path, rules):
    """Write out a pattern: a list of {path: values}. What comes later in the pattern replaces what came before."""
    for key, value in pattern.items():
        if key == "$or":
            rules = [new for branch in value for new in rules_of(branch, path, rules)]
        elif isinstance(value, dict):
            rules = rules_of(value, f"{path}.{key}" if path else key, rules)
        else:
            rules = [{**rule, f"{path}.{key}" if path else key: value} for rule in rules]
    return rules


def choose(conditions, fields, chosen):
    if not conditions:
        return True
    (path, tests), *rest = conditions
    agreeing = [
        (value, elements)
        for name, value, elements in fields
        if name == path and all(chosen.get(array, place) == place for array, place in elements.items())
    ]
    for value, elements in agreeing:
        if any(holds(test, value) for test in tests) and choose(rest, fields, {**chosen, **elements}):
            return True
    return not agreeing and {"exists": False} in tests and choose(rest, fields, chosen)


def holds(test, value):  # noqa: C901, PLR0911 - a table, read from top to bottom
    if not isinstance(test, dict):
        return same(test, value)
    [(operator, argument)] = test.items()
    text = value if isinstance(value, str) else None
    match operator:
        case "exists":
            return argument
        case "prefix":
            return text is not None and begins(text, argument)
        case "suffix":
            return text is not None and ends(text, argument)
        case "equals-ignore-case":
            return text is not None and len(text) == len(argument) and begins(text, {operator: argument})
        case "wildcard":
            return text is not None and glob(argument, text)
        case "cidr":
            return text is not None and inside(text, argument)
        case "numeric":
            pairs = zip(argument[::2], argument[1::2], strict=True)
            return is_number(value) and all(compare(each, value, bound) for each, bound in pairs)
        case "anything-but" if isinstance(argument, dict):
            [(inner, several)] = argument.items()
            several = several if isinstance(several, list) else [several]
            return not any(holds({inner: each}, value) for each in several)
        case "anything-but":
            return not any(same(each, value) for each in (argument if isinstance(argument, list) else [argument]))
    raise AssertionError(operator)


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def double(number):
    return struct.unpack("<d", struct.pack("<d", number))[0]


def same(wanted, value):
    if is_number(wanted) and is_number(value):
        return double(wanted) == double(value)
    return type(wanted) is type(value) and wanted == value


def compare(operator, value, bound):
    value, bound = double(value), double(bound)
    return {
        "=": value == bound,
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
    }[operator]


def begins(text, wanted):
    if isinstance(wanted, str):
        return text[: len(wanted)] == wanted
    wanted = wanted["equals-ignore-case"]
    if len(text) < len(wanted):
        return False
    return all(each in {want.lower(), want.upper()} for each, want in zip(text, wanted, strict=False))


def ends(text, wanted):
    if isinstance(wanted, str):
        return wanted == "" or text[-len(wanted) :] == wanted
    inner = wanted["equals-ignore-case"]
    return inner == "" or (len(text) >= len(inner) and begins(text[-len(inner) :], wanted))


def glob(pattern, text):
    if pattern == "":
        return text == ""
    if pattern[0] == "*":
        return any(glob(pattern[1:], text[begin:]) for begin in range(len(text) + 1))
    if pattern[0] == "\\":
        return text[:1] == pattern[1] and glob(pattern[2:], text[1:])
    return text[:1] == pattern[0] and glob(pattern[1:], text[1:])


def inside(text, network):
    try:
        return ipaddress.ip_address(text) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
