"""How a rule says no: a stable code for machines, a sentence for people, a pointer into the input."""


class Refusal(Exception):
    """A business rule refuses. `code` is stable snake_case, `message` says what to do next.

    `pointer` is the RFC 6901 JSON pointer of the offending input, where there is one.
    """

    def __init__(self, code: str, message: str, pointer: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.pointer = pointer
