"""Organisations and the keys with which they authorise what belongs to them."""

from __future__ import annotations

from chaincode.api import GetOrganisation, Organisation, RegisterOrganisation
from chaincode.context import Context
from chaincode.errors import AccessDenied, InvalidArgument
from chaincode.names import check_organisation
from identity import IdentityError, Role, key_algorithm

__all__ = ["find", "get", "organisation_key", "register"]

_MAX_NAME = 128


def organisation_key(msp_id: str) -> str:
    """State key of an organisation."""
    return f"organisation/{msp_id}"


def register(context: Context, message: RegisterOrganisation) -> Organisation:
    """Make an organisation known, or replace its name and owner key.

    By an admin of that very organisation. Authorisations made with a replaced key no longer pass.

    Raises:
        AccessDenied: the caller is no admin, or of another organisation.
        InvalidArgument: an unusable name or key.
    """
    organisation = message.organisation
    check_organisation(organisation.msp_id)
    context.require_role(Role.ADMIN)
    if context.creator.msp_id != organisation.msp_id:
        raise AccessDenied(f"an admin of {context.creator.msp_id} cannot register {organisation.msp_id}")
    if not 1 <= len(organisation.name) <= _MAX_NAME or not organisation.name.isprintable():
        raise InvalidArgument(f"an organisation's name is 1 to {_MAX_NAME} printable characters")
    try:
        key_algorithm(organisation.owner_key)
    except IdentityError as error:
        raise InvalidArgument(f"owner key: {error}") from error
    context.write(organisation_key(organisation.msp_id), organisation)
    return organisation


def get(context: Context, message: GetOrganisation) -> Organisation:
    """The organisation.

    Raises:
        NotFound: it is not registered here.
    """
    return find(context, message.msp_id)


def find(context: Context, msp_id: str) -> Organisation:
    """The organisation of that MSP id.

    Raises:
        InvalidArgument: not an MSP id.
        NotFound: it is not registered here.
    """
    check_organisation(msp_id)
    return context.require(Organisation, organisation_key(msp_id), f"organisation {msp_id}")
