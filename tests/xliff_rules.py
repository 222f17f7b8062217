"""Rules of the XLIFF specifications, 1.2 and 2.x, for the core elements: what `faults` checks of a file.

Which elements each may hold and in which order, attributes that are required, values of states, ids that are unique,
and that the codes of a target are those of its source. The OASIS schemas check all but the last in more detail; see
`schema_of`.
"""

import os
import re
from collections import Counter
from pathlib import Path

from lxml import etree

SCHEMAS = Path(os.environ.get("XLIFF_SCHEMAS", "/usr/share/php/Symfony/Component/Translation/Resources/schemas"))
"""Where the schemas of OASIS are; by default where Debian's package php-symfony-translation puts them."""
FIRST, SECOND = "urn:oasis:names:tc:xliff:document:1.2", "urn:oasis:names:tc:xliff:document:2.0"
_CODES = {FIRST: "g x bx ex bpt ept ph it mrk", SECOND: "cp ph pc sc ec mrk sm em"}
_SINGLE = {FIRST: "x bx ex", SECOND: "cp ph sc ec sm em"}
_NOTES = r"(?:context-group |count-group |prop-group |note |alt-trans )*"
CONTENT = {
    FIRST: {
        "xliff": r"(?:\* )*(?:file )+",
        "file": r"(?:header )?body ",
        "body": r"(?:group |trans-unit |bin-unit )*",
        "group": r"(?:context-group )*(?:count-group )*(?:prop-group )*(?:note )*(?:\* )*"
        r"(?:group |trans-unit |bin-unit )*",
        "trans-unit": rf"source (?:seg-source )?(?:target )?{_NOTES}(?:\* )*",
        "alt-trans": r"(?:source )?(?:seg-source )?(?:target )+(?:context-group |prop-group |note )*(?:\* )*",
        "note": "",
    },
    SECOND: {
        "xliff": r"(?:file )+",
        "file": r"(?:skeleton )?(?:\* )*(?:notes )?(?:unit |group )+",
        "group": r"(?:\* )*(?:notes )?(?:unit |group )*",
        "unit": r"(?:\* )*(?:notes )?(?:originalData )?(?:segment |ignorable )+",
        "segment": r"source (?:target )?",
        "ignorable": r"source (?:target )?",
        "notes": r"(?:note )+",
        "note": "",
        "originalData": r"(?:data )+",
        "data": r"(?:cp )*",
    },
}
"""The names of the children of each element, each with a space after it; `*` is one of another namespace."""
REQUIRED = {
    FIRST: {
        "xliff": "version", "file": "original source-language datatype", "trans-unit": "id", "mrk": "mtype",
        "it": "id pos",
        **dict.fromkeys(("g", "x", "bx", "ex", "bpt", "ept", "ph"), "id"),
    },
    SECOND: {
        "xliff": "version srcLang", "em": "startRef", "cp": "hex",
        **dict.fromkeys(("file", "group", "unit", "data", "ph", "pc", "sc", "mrk", "sm"), "id"),
    },
}  # fmt: skip
VALUES = {
    (FIRST, "target", "state"): "final needs-adaptation needs-l10n needs-review-adaptation needs-review-l10n "
    "needs-review-translation needs-translation new signed-off translated",
    (FIRST, "target", "state-qualifier"): "exact-match fuzzy-match id-match leveraged-glossary leveraged-inherited "
    "leveraged-mt leveraged-repository leveraged-tm mt-suggestion rejected-grammar rejected-inaccurate rejected-length "
    "rejected-spelling tm-suggestion",
    (SECOND, "segment", "state"): "initial translated reviewed final",
}


def schema_of(version):
    """The schema of a version, "1.2" or "2.0"; None where it is not installed, or where lxml cannot load it."""
    file = SCHEMAS / f"xliff-core-{version}{'-strict' if version == '1.2' else ''}.xsd"
    if not file.exists():
        return None
    text = re.sub(r'schemaLocation="[^"]*xml\.xsd"', f'schemaLocation="{SCHEMAS / "xml.xsd"}"', file.read_text())
    return etree.XMLSchema(etree.fromstring(text.encode()))


def faults(data):
    """What is wrong with an XLIFF file, a line each; none for one that keeps the rules."""
    root = etree.fromstring(data)
    space = etree.QName(root).namespace
    if space not in CONTENT or etree.QName(root).localname != "xliff":
        return [f"the root is {root.tag}"]
    found = [fault for one in root.iter(f"{{{space}}}*") for fault in _element(one, space)]
    units = _all(root, space, "trans-unit" if space == FIRST else "unit")
    found += [fault for unit in units for fault in _codes(unit, space)]
    for file in _all(root, space, "file"):
        found += _twice(file, space, ["trans-unit", "bin-unit"] if space == FIRST else ["unit"])
        found += _twice(file, space, ["group"])
    if space == SECOND:
        found += [*_twice(root, space, ["file"]), *_languages(root, space)]
        found += [
            fault for unit in _all(root, space, "unit") for fault in _twice(unit, space, ["segment", "ignorable"])
        ]
    return found


def _all(element, space, *names):
    return [one for name in names for one in element.iter(f"{{{space}}}{name}")]


def _name(element):
    return etree.QName(element).localname


def _element(one, space):
    name = _name(one)
    place = f"{name} in line {one.sourceline}"
    children = [child for child in one if isinstance(child.tag, str)]
    names = "".join(f"{_name(child)} " if etree.QName(child).namespace == space else "* " for child in children)
    content = CONTENT[space].get(name)
    if name in ("source", "target", "seg-source", "g", "pc", "mrk"):
        content = "(?:" + "|".join(f"{code} " for code in _CODES[space].split()) + ")*"
    elif name in _SINGLE[space].split():
        content = ""
    if content is not None and not re.fullmatch(content, names):
        yield f"{place}: holds {names or 'nothing'}"
    for attribute in REQUIRED[space].get(name, "").split():
        if attribute not in one.attrib:
            yield f"{place}: no {attribute}"
    for attribute, value in one.attrib.items():
        allowed = VALUES.get((space, name, attribute))
        if allowed and value not in allowed.split() and not (space == FIRST and value.startswith("x-")):
            yield f"{place}: {attribute} is {value}"
    if space == SECOND and name == "segment" and "subState" in one.attrib and "state" not in one.attrib:
        yield f"{place}: a subState without a state"


def _twice(element, space, names):
    counts = Counter(one.get("id") for one in _all(element, space, *names) if one.get("id") is not None)
    return [f"{'/'.join(names)}: two of the id {id}" for id, count in counts.items() if count > 1]


def _inline(element, space):
    """The codes of a text, as name and attributes, with their nesting."""
    codes = [one for one in element.iterdescendants(f"{{{space}}}*") if _name(one) in _CODES[space].split()]
    return [(_name(one), tuple(sorted(one.attrib.items())), one.getparent() is element) for one in codes]


def _codes(unit, space):
    """Targets that translora wrote have the codes of the source, or of its segments where it is divided."""
    for holder in [unit] if space == FIRST else _all(unit, space, "segment"):
        parts = {_name(child): child for child in holder if isinstance(child.tag, str)}
        source, target = parts.get("seg-source", parts.get("source")), parts.get("target")
        if source is None or target is None:
            continue
        wanted, found = (Counter(code[:2] for code in _inline(one, space)) for one in (source, target))
        if wanted != found:
            yield f"{_name(holder)} in line {holder.sourceline}: other codes in the target"


def _languages(root, space):
    """A file of 2.x names the language of its targets, if and only if it has any."""
    if "trgLang" not in root.attrib and _all(root, space, "target"):
        yield "targets without trgLang"
