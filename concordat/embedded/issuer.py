"""The built-in identity provider of the embedded mode and of tests. Any other environment refuses it."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.runtime.settings import Issuer

ISSUER = "https://concordat.invalid/development"
KEY_ID = "development-1"
SYSADMIN = "sysadmin"
"""The subject of the platform administrator."""


class DevelopmentIssuer:
    """Signs tokens with a P-256 key that lives in a folder of this machine."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, folder: Path) -> None:
        self._key = key
        self._folder = folder

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """The issuer whose key is kept in `folder`; made on first use, readable by its owner only."""
        folder.mkdir(parents=True, exist_ok=True)
        private = folder / "development-issuer.pem"
        if not private.exists():
            _write_private(private, ec.generate_private_key(ec.SECP256R1()))
        key = serialization.load_pem_private_key(private.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        issuer = cls(key, folder)
        issuer._key_set_file.write_text(json.dumps(issuer.key_set()))
        return issuer

    @property
    def _key_set_file(self) -> Path:
        return self._folder / "development-issuer.jwks.json"

    @property
    def settings(self) -> Issuer:
        return Issuer(issuer=ISSUER, jwks_file=self._key_set_file, development=True)

    def key_set(self) -> dict[str, list[dict[str, str]]]:
        """The public key as a JWK set (RFC 7517)."""
        public = json.loads(
            jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).to_jwk(self._key.public_key())
        )
        return {"keys": [public | {"kid": KEY_ID, "use": "sig", "alg": "ES256"}]}

    def token(
        self, subject: str, now: datetime, lifetime: timedelta = timedelta(hours=12), issuer: str = ISSUER
    ) -> str:
        """A bearer token for `subject`."""
        claims = {
            "iss": issuer,
            "aud": "concordat",
            "sub": subject,
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": KEY_ID, "typ": "at+jwt"})


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
