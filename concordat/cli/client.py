"""How commands call the API: with a token, and with a sentence for everything that can go wrong on the way."""

from typing import Any

import httpx


class NotDone(Exception):
    """The call did not succeed; the message says why and what to do."""


class Client:
    """Calls one address as the owner of one token. `NotDone` at once when there is no token or no address."""

    def __init__(self, url: str, token: str, timeout: float | None = 30) -> None:
        self._url = url
        self._http = httpx.Client(
            base_url=_address(url), headers=_authorization(token), timeout=timeout, trust_env=False
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The JSON of a successful answer."""
        try:
            answer = self._http.request(method, path, **request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotDone(f"{self._url} does not answer ({type(error).__name__}). Is it running?") from None
        if answer.is_error:
            raise NotDone(_explained(answer))
        try:
            document = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise NotDone(f"{self._url} answers, but is no Concordat: look at the address.")
        return document


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise NotDone(
            f"{url!r} is no address: give one such as http://127.0.0.1:8000, with --url or CONCORDAT_URL."
        )
    return url


def _authorization(token: str) -> dict[str, str]:
    token = token.strip()
    if not token:
        raise NotDone("There is no token: give one with --token or CONCORDAT_TOKEN.")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise NotDone("The token holds characters that no token has; copy it again, in one piece.")
    return {"Authorization": f"Bearer {token}"}


def _explained(answer: httpx.Response) -> str:
    """The detail of a problem document with its findings, else how the answer begins."""
    if "json" not in answer.headers.get("content-type", ""):
        return f"{answer.status_code}: {answer.text[:200]}"
    problem = answer.json()
    findings = "".join(f"\n  {error['pointer']}: {error['message']}" for error in problem.get("errors", ()))
    return f"{answer.status_code}: {problem.get('detail', '')}{findings}"
