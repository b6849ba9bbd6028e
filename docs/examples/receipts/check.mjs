// Checks a receipt of Docket offline: with the installation's key set, and nothing else.
//
//     npm install jose@5.10.0 canonicalize@2.1.0
//     node check.mjs jwks.json receipt.txt [payload.json]
//
// `jwks.json` is a copy of /.well-known/jwks.json. Prints the claims, or ends with 1 and the reason.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import canonicalize from 'canonicalize';
import { createLocalJWKSet, jwtVerify } from 'jose';

export async function check(jwks, receipt, ...payloads) {
  // The set holds the keys of access tokens too: those of receipts say so by their names.
  const keys = createLocalJWKSet({ keys: jwks.keys.filter(({ kid }) => kid.startsWith('receipt-')) });
  const { payload: claims } = await jwtVerify(receipt, keys, {
    typ: 'docket-receipt+jwt',
    algorithms: ['EdDSA'],
    issuer: 'docket',
    requiredClaims: ['sub', 'jti', 'iat', 'exp', 'tenant', 'outcome', 'payload_sha256'],
  });
  for (const payload of payloads) {
    const hash = createHash('sha256').update(canonicalize(payload)).digest('hex');
    if (hash !== claims.payload_sha256) throw new Error('the payload is not the one that was decided upon');
  }
  return claims;
}

const [jwks, receipt, ...payload] = await Promise.all(process.argv.slice(2).map((path) => readFile(path, 'utf8')));
try {
  console.log(JSON.stringify(await check(JSON.parse(jwks), receipt.trim(), ...payload.map((text) => JSON.parse(text))), null, 2));
} catch (error) {
  console.error(`refused: ${error.message}`);
  process.exitCode = 1;
}
