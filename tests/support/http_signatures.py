"""RFC 9421's signature base for any components: what the product's one profile is held against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from protocol.errors import InvalidSignatureBase

_MAX_INTEGER = 10**15 - 1  # RFC 8941, section 3.3.1


def base_of(components: Iterable[tuple[str, str]], parameters: str) -> bytes:
    """A signature base (RFC 9421, section 2.5).

    Args:
        components: serialised identifiers (``"date"`` in its quotes, with parameters) and values.
        parameters: the serialised ``@signature-params`` (section 2.3).

    Raises:
        InvalidSignatureBase: a line break or a character outside ASCII, or a component twice.
    """
    lines = []
    seen = set()
    for identifier, value in components:
        if identifier in seen:
            raise InvalidSignatureBase(f"component {identifier} is covered twice")
        seen.add(identifier)
        lines.append(f"{identifier}: {value}")
    lines.append(f'"@signature-params": {parameters}')
    if not all(line.isascii() and "\n" not in line and "\r" not in line for line in lines):
        raise InvalidSignatureBase("a line of the signature base holds a line break or is not ASCII")
    return "\n".join(lines).encode("ascii")


def signature_parameters(covered: Sequence[str], parameters: Iterable[tuple[str, int | str]]) -> str:
    """The serialised inner list and its parameters in the order given (RFC 9421, section 2.3; RFC 8941).

    Raises:
        InvalidSignatureBase: text that is not printable ASCII, or an integer of more than 15 digits.
    """
    text = "(" + " ".join(covered) + ")"
    for name, value in parameters:
        if isinstance(value, int):
            if abs(value) > _MAX_INTEGER:
                raise InvalidSignatureBase(f"{name} has more than 15 digits", name)
            text += f";{name}={value}"
        else:
            if not (value.isascii() and value.isprintable()):
                raise InvalidSignatureBase(f"{name} is not printable ASCII", name)
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            text += f';{name}="{quoted}"'
    return text
