"""Checks a receipt of Docket offline: with the installation's key set, and nothing else.

    pip install pyjwt[crypto]==2.10.1 rfc8785==0.1.4
    python check.py jwks.json receipt.txt [payload.json]

`jwks.json` is a copy of /.well-known/jwks.json. Prints the claims, or ends with 1 and the reason.
"""

import hashlib
import json
import sys

import jwt
import rfc8785

TYPE = "docket-receipt+jwt"


def check(jwks: dict, receipt: str, *payload: object) -> dict:
    header = jwt.get_unverified_header(receipt)
    # The set holds the keys of access tokens too: those of receipts say so by their names.
    if header.get("typ") != TYPE or not str(header.get("kid")).startswith("receipt-"):
        raise jwt.InvalidTokenError("this is no receipt")
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(jwks).keys}
    if header["kid"] not in keys:
        raise jwt.InvalidTokenError("another installation signed it, or the key is newer than the key set")
    required = ["iss", "sub", "jti", "iat", "exp", "tenant", "outcome", "payload_sha256"]
    claims = jwt.decode(
        receipt, keys[header["kid"]].key, algorithms=["EdDSA"], issuer="docket", options={"require": required}
    )
    for value in payload:
        if hashlib.sha256(rfc8785.dumps(value)).hexdigest() != claims["payload_sha256"]:
            raise jwt.InvalidTokenError("the payload is not the one that was decided upon")
    return claims


def main() -> None:
    jwks, receipt, *payload = (open(path, encoding="utf-8").read() for path in sys.argv[1:])
    try:
        claims = check(json.loads(jwks), receipt.strip(), *map(json.loads, payload))
    except jwt.InvalidTokenError as error:
        sys.exit(f"refused: {error}")
    print(json.dumps(claims, indent=2))


if __name__ == "__main__":
    main()
