"""What an agreement and an SLA must satisfy to be registered."""

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum

from shared.pure.refusal import Refused

_GTC_NUMBER = re.compile(r"A\d{2}(0[1-9]|1[0-2])-\d{3}-\d{3}-\d{6}", re.ASCII)


class AgreementKind(StrEnum):
    """The instrument: federal general terms and conditions (FS Form 7600A), a contract, or a memorandum."""

    IAA_GTC = "IAA_GTC"
    CONTRACT = "CONTRACT"
    MOU_MOA = "MOU_MOA"


def check_agreement(
    kind: AgreementKind, gtc_number: str | None, amount: Decimal | None, start: date, end: date
) -> None:
    """Refuse dates in the wrong order, a wrong or missing GT&C number, and funds in a memorandum.

    The number reads `AYYMM-REQ-SRV-NNNNNN`: year and month, requesting and servicing agency, then six digits.
    """
    if end <= start:
        raise Refused("ends_before_start", "An agreement ends after it starts.", "/end_date")
    if kind is AgreementKind.IAA_GTC and not _GTC_NUMBER.fullmatch(gtc_number or ""):
        message = "General terms and conditions have a number such as A2610-990-991-000123."
        raise Refused("invalid_gtc_number", message, "/gtc_number")
    if kind is not AgreementKind.IAA_GTC and gtc_number is not None:
        raise Refused("no_gtc_number", f"A {kind} has no GT&C number.", "/gtc_number")
    if kind is AgreementKind.MOU_MOA and amount:
        raise Refused("memorandum_without_funds", "A memorandum moves no funds.", "/total_amount")
