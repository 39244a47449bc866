"""What a receiver's answer means: HTTP statuses and faults as verdicts, and in words its owner can act on."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from services.notifier.channels.domain import Fault, Verdict

LONGEST_RETRY_AFTER = timedelta(hours=24)

OF_STATUS = {
    401: Verdict.configuration,
    403: Verdict.configuration,
    404: Verdict.configuration,
    405: Verdict.configuration,
    410: Verdict.gone,
    413: Verdict.configuration,
    415: Verdict.configuration,
    422: Verdict.configuration,
    429: Verdict.throttled,
    502: Verdict.throttled,
    504: Verdict.throttled,
}
# A redirect is never followed: somebody has to correct the address.
OF_CLASS = {2: Verdict.delivered, 3: Verdict.configuration}
OF_FAULT = {Fault.blocked: Verdict.blocked, Fault.tls: Verdict.configuration}

_AGAIN = "It is sent again by itself."
_CREDENTIALS = "It does not accept our credentials: set the endpoint's authorization to what it asks for."
_ADDRESS = "Nothing takes webhooks at this address: correct the endpoint's url."
_BODY = (
    "It does not take such a body: check the endpoint's template and its options with the receiver's owner."
)
_BUSY = f"It is busy. {_AGAIN} We send less until it keeps up."
ADVICE = {
    401: _CREDENTIALS,
    403: _CREDENTIALS,
    404: _ADDRESS,
    405: _ADDRESS,
    410: "It wants no more webhooks: the endpoint was switched off. Give it a new url, test and enable it, then replay.",
    413: _BODY,
    415: _BODY,
    422: _BODY,
    429: _BUSY,
    502: _BUSY,
    504: _BUSY,
}
ADVICE_OF_CLASS = {
    3: "A redirect is never followed: set the endpoint's url to the final address.",
    4: f"It refuses the request. {_AGAIN} If this goes on, ask the receiver's owner what is wrong with it.",
    5: f"Something failed on its side. {_AGAIN} If this goes on, ask the receiver's owner to look into its log.",
}
FAULTS = {
    Fault.blocked: (
        "Deliveries may not go there ({}). Correct the endpoint's url, or ask whoever runs Concordat to allow it; then replay."
    ),
    Fault.timeout: (
        f"The receiver gave no complete answer in time. {_AGAIN} If this goes on, let it answer first and work afterwards."
    ),
    Fault.network: (
        "The receiver could not be reached, or broke off ({}). "
        f"{_AGAIN} If this goes on, check that it is running and that the endpoint's url is right."
    ),
    Fault.tls: (
        "No secure connection could be made ({}). The receiver needs a valid certificate for the name in the endpoint's url."
    ),
}


def verdict_of_status(status: int) -> Verdict:
    return OF_STATUS.get(status) or OF_CLASS.get(status // 100, Verdict.retry)


def verdict_of_fault(fault: Fault) -> Verdict:
    return OF_FAULT.get(fault, Verdict.retry)


def explained_status(status: int) -> str:
    """What the status means for the endpoint's owner; empty for a success."""
    if verdict_of_status(status) is Verdict.delivered:
        return ""
    advice = ADVICE.get(status) or ADVICE_OF_CLASS.get(status // 100, _AGAIN)
    return f"The receiver answered HTTP {status}{_phrase(status)}. {advice}"


def _phrase(status: int) -> str:
    return f" ({HTTPStatus(status).phrase})" if status in set(HTTPStatus) else ""


def explained_fault(fault: Fault, reason: str) -> str:
    """What the fault means for the endpoint's owner; `reason` is what the network layer said."""
    return FAULTS[fault].format(reason)


def retry_after(header: str | None, now: datetime) -> timedelta | None:
    """The wait a `Retry-After` header asks for (RFC 9110 10.2.3), 0 to 24 h; None when unreadable."""
    if header is None:
        return None
    text = header.strip()
    wait = _seconds(text) if text.isascii() and text.isdigit() else _until(text, now)
    return None if wait is None else min(max(wait, timedelta(0)), LONGEST_RETRY_AFTER)


def _seconds(digits: str) -> timedelta:
    # Nine digits are thirty years; longer numbers would only overflow.
    return timedelta(seconds=int(digits[:9]))


def _until(text: str, now: datetime) -> timedelta | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
