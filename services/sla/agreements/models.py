"""The table of agreements."""

from datetime import date
from decimal import Decimal

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.sla.agreements.domain import AgreementKind
from services.sla.base import Base
from shared.data.session import EnumText
from shared.reviews.tables import Reviewed


class Agreement(Reviewed, Base):
    """An IAA, contract or memorandum between customer and provider."""

    __tablename__ = "agreement"
    __table_args__ = (
        UniqueConstraint("charter_id", "number"),
        UniqueConstraint("customer_org_id", "gtc_number"),
    )

    number: Mapped[str]
    kind: Mapped[AgreementKind] = mapped_column(EnumText(AgreementKind))
    gtc_number: Mapped[str | None]
    modification_number: Mapped[int]
    start_date: Mapped[date]
    end_date: Mapped[date]
    total_amount: Mapped[Decimal | None]
    termination_days: Mapped[int]
