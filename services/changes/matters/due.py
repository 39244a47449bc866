"""What is due while a body has a matter: the steps of its clock."""

from services.changes.matters.models import Matter
from services.changes.matters.service.escalating import clock_step
from services.changes.matters.service.placing import CLOCK
from shared.runtime.due import Kind

KINDS = (Kind(CLOCK, Matter, clock_step),)
