"""What requests say, in the campus's own terms.

A packet keeps everything as it came in, also what should not be there: numbers for text, one text for a list,
an object for a value. Here is what the campus makes of it. An empty text counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from amie_engine.packet import Packet

from .model import Applicant, CampusError, Degree, PersonDetails

__all__ = ["amount", "applicant", "day", "objects", "person_details", "resource", "text", "texts"]

_DETAILS = {
    "first_name": "FirstName",
    "middle_name": "MiddleName",
    "last_name": "LastName",
    "title": "Title",
    "email": "Email",
    "organization": "Organization",
    "organization_code": "OrgCode",
    "department": "Department",
    "street_address": "StreetAddress",
    "street_address2": "StreetAddress2",
    "city": "City",
    "state": "State",
    "zip_code": "Zip",
    "country": "Country",
    "business_phone_number": "BusinessPhoneNumber",
    "business_phone_extension": "BusinessPhoneExtension",
    "business_phone_comment": "BusinessPhoneComment",
    "home_phone_number": "HomePhoneNumber",
    "home_phone_extension": "HomePhoneExtension",
    "home_phone_comment": "HomePhoneComment",
    "fax": "Fax",
}
"""The campus's names of a person's details, and AMIE's, without the Pi or User before them."""


def text(value: Any) -> str | None:
    """Return a text to the letter, a number as text, and None for anything else or for nothing."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def texts(value: Any) -> tuple[str, ...]:
    """Return the texts of a list, without those that are blank; a single text is a list of one."""
    items = value if isinstance(value, list) else [value]
    return tuple(item for item in map(text, items) if item is not None)


def objects(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of a list."""
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def amount(value: Any) -> Decimal | None:
    """Return an amount of service units, or None where there is none.

    Raises:
        CampusError: It is no number.
    """
    written = str(value) if isinstance(value, float | Decimal) else text(value)
    try:
        return None if written is None else Decimal(written)
    except InvalidOperation:
        raise CampusError(f"{value!r} is no amount of service units.") from None


def day(value: Any) -> date | None:
    """Return a date, or None where there is none.

    Raises:
        CampusError: It is a text that is no date.
    """
    if value is None or isinstance(value, date):
        return value
    if text(value) is None:
        return None
    raise CampusError(f"{value!r} is no date.")


def resource(packet: Packet) -> str:
    """Return the one resource that a packet's ``ResourceList`` names.

    Raises:
        CampusError: It names none, or several.
    """
    names = texts(getattr(packet, "ResourceList", None))
    if len(names) != 1:
        raise CampusError(f"The request names {len(names)} resources, where it must name one.")
    return names[0]


def person_details(packet: Packet, prefix: str) -> PersonDetails:
    """Return what a packet says of a person, in fields that begin with a prefix: Pi, User or nothing."""
    details = {name: text(getattr(packet, prefix + field)) for name, field in _DETAILS.items()}
    degrees = [
        Degree(degree, text(entry.get("Field")))
        for entry in objects(getattr(packet, "AcademicDegree", None))
        if (degree := text(entry.get("Degree"))) is not None
    ]
    one_citizenship = getattr(packet, f"{prefix}Citizenship", None)
    return PersonDetails(
        **details,
        nsf_status_code=text(getattr(packet, "NsfStatusCode", None)),
        degrees=tuple(degrees),
        citizenships=texts(getattr(packet, "CitizenshipList", None)) or texts(one_citizenship),
    )


def applicant(packet: Packet, prefix: str, site_name: str) -> Applicant:
    """Return the person whom a request to create something is about.

    Args:
        packet: The request.
        prefix: What the fields about the person begin with: Pi or User.
        site_name: This site's name. ``SitePersonId`` lists a person's ids at all sites, this one's too.
    """
    here = (
        text(entry.get("PersonID"))
        for entry in objects(getattr(packet, "SitePersonId", None))
        if entry.get("Site") == site_name
    )
    known_login = texts(getattr(packet, f"{prefix}RemoteSiteLogin", None))
    return Applicant(
        person_id=text(getattr(packet, f"{prefix}PersonID")) or next(here, None),
        global_id=text(getattr(packet, f"{prefix}GlobalID")),
        details=person_details(packet, prefix),
        dns=texts(getattr(packet, f"{prefix}DnList")),
        logins=known_login + texts(getattr(packet, f"{prefix}RequestedLoginList")),
    )
