"""Random patterns and random events over so few names and values that they often meet."""

from hypothesis import strategies as st

KEYS = ["a", "b", "c", "a.b", "b.c"]
TEXTS = ["", "a", "b", "ab", "AB", "aab", "abb", "x*y", "x\\y", "10.0.0.7", "10.0.1.7", "2001:db8::1", "é", "É"]
NUMBERS = [0, -0.0, 1, 1.0, -1, 2.5, 10, 2**53, 2**53 + 1, 1e300]

texts = st.sampled_from(TEXTS)
numbers = st.sampled_from(NUMBERS)
scalars = st.one_of(texts, numbers, st.none(), st.booleans())


def values(keys: st.SearchStrategy[str]) -> st.SearchStrategy:
    return st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
        max_leaves=14,
    )


def events(keys: st.SearchStrategy[str]) -> st.SearchStrategy[dict]:
    return st.dictionaries(keys, values(keys), max_size=4)


def _one(name, argument):
    return argument.map(lambda value: {name: value})


def _one_or_more(each):
    return st.one_of(each, st.lists(each, min_size=1, max_size=3))


ignoring_case = _one("equals-ignore-case", texts)
not_empty = texts.filter(bool)
wildcards = st.sampled_from(["", "*", "a*", "*b", "a*b", "*a*", r"x\*y", r"x\\*", "a*b*", "*.0.7", "**"[:1]])
intervals = st.one_of(
    st.tuples(st.sampled_from(["=", "<", "<=", ">", ">="]), numbers).map(list),
    st.tuples(st.sampled_from([">", ">="]), numbers, st.sampled_from(["<", "<="]), numbers)
    .filter(lambda terms: float(terms[1]) < float(terms[3]))
    .map(list),
)
anything_but = _one(
    "anything-but",
    st.one_of(
        _one_or_more(texts),
        _one_or_more(numbers),
        _one("prefix", _one_or_more(not_empty)),
        _one("suffix", _one_or_more(not_empty)),
        _one("equals-ignore-case", _one_or_more(texts)),
        _one("wildcard", _one_or_more(wildcards)),
    ),
)
exists = _one("exists", st.booleans())
tests = st.one_of(
    scalars,
    exists,
    exists,
    _one("prefix", st.one_of(texts, ignoring_case)),
    _one("suffix", st.one_of(texts, ignoring_case)),
    ignoring_case,
    anything_but,
    _one("numeric", intervals),
    _one("cidr", st.sampled_from(["10.0.0.0/24", "10.0.0.0/8", "2001:db8::/32"])),
    _one("wildcard", wildcards),
)
leaves = st.lists(tests, min_size=1, max_size=3)


def patterns(keys: st.SearchStrategy[str]) -> st.SearchStrategy[dict]:
    def grown(inner):
        objects = st.dictionaries(keys, st.one_of(leaves, inner), min_size=1, max_size=3)
        choices = st.lists(objects, min_size=2, max_size=3)
        return st.one_of(objects, objects, st.tuples(objects, choices).map(lambda both: {**both[0], "$or": both[1]}))

    return st.recursive(st.dictionaries(keys, leaves, min_size=1, max_size=3), grown, max_leaves=6)
