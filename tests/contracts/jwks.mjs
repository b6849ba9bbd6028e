// Verifies access tokens of a real docket as other services would: with the package jose and the key set that docket publishes, also
// while the key is rotated. Ends with 1 when something does not hold. Needs target/debug/docket, or the path of another.
import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createLocalJWKSet, createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from 'jose';

const [docket = fileURLToPath(new URL('../../target/debug/docket', import.meta.url))] = process.argv.slice(2);
const PATIENCE = 60_000;
const RULES = { issuer: 'docket', audience: 'docket', typ: 'at+jwt', algorithms: ['EdDSA'], requiredClaims: ['sub', 'org', 'role', 'exp'] };
// Nothing of the caller's settings.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(DOCKET_|DATABASE_|KAFKA_)/.test(name)));
// It logs in more often than one address may.
env.DOCKET_RATE_LIMIT_AUTH = '0';

/** Starts `docket up`; where it serves, the administrator's e-mail address and password, and the process. */
async function start(folder) {
  const log = createWriteStream(join(folder, 'log'));
  const child = spawn(docket, ['up', '--listen', '127.0.0.1:0', '--data-dir', join(folder, 'data')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.pipe(log);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  let admin;
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, ...rest] = line.split(/\s+/);
    if (word === 'admin') admin = rest;
    if (word === 'ready') return { url: rest[0], admin, child, ended };
  }
  throw new Error(await readFile(join(folder, 'log'), 'utf8'));
}

async function login(url, [email, password]) {
  const body = JSON.stringify({ email, password });
  const answer = await fetch(`${url}/api/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  assert.equal(answer.status, 200);
  return (await answer.json()).access_token;
}

async function eventually(what, condition) {
  for (const end = Date.now() + PATIENCE; ; await pause(50)) {
    const value = await condition();
    if (value) return value;
    assert(Date.now() < end, `never happened: ${what}`);
  }
}

/** One character in the middle of the signature is another. */
function forged(token) {
  const at = token.length - 40;
  return token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
}

async function check({ url, admin }, folder) {
  const address = new URL('/.well-known/jwks.json', url);
  // Without the keys of receipts, which are another family and never end.
  const published = async () => {
    const { keys } = await (await fetch(address)).json();
    return { keys: keys.filter(({ kid }) => !kid.startsWith('receipt-')) };
  };
  const remote = createRemoteJWKSet(address);
  const first = await login(url, admin);
  const { payload, protectedHeader } = await jwtVerify(first, remote, RULES);
  assert.equal(payload.role, 'admin');
  assert.equal(payload.exp - payload.iat, 900);
  const [key, ...others] = (await published()).keys;
  assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x']);
  assert.deepEqual([key.kid, others.length], [protectedHeader.kid, 0]);

  await assert.rejects(jwtVerify(forged(first), remote, RULES), errors.JWSSignatureVerificationFailed);
  await assert.rejects(jwtVerify(first, remote, { ...RULES, audience: 'another' }), errors.JWTClaimValidationFailed);
  const late = new Date((payload.exp + 1) * 1000);
  await assert.rejects(jwtVerify(first, remote, { ...RULES, currentDate: late }), errors.JWTExpired);

  execFileSync(docket, ['keys', 'rotate', '--lead', '0s', '--data-dir', join(folder, 'data')], { env });
  const second = await eventually('the new key signs', async () => {
    const token = await login(url, admin);
    return decodeProtectedHeader(token).kid !== key.kid && token;
  });
  const set = await eventually('both are published', async () => {
    const set = await published();
    return set.keys.length === 2 && set;
  });
  for (const token of [first, second]) await jwtVerify(token, createLocalJWKSet(set), RULES);
  // The set that a service has kept lacks the new key only until it asks again.
  await assert.rejects(jwtVerify(second, createLocalJWKSet({ keys: [key] }), RULES), errors.JWKSNoMatchingKey);

  execFileSync(docket, ['keys', 'rotate', '--at-once', '--data-dir', join(folder, 'data')], { env });
  const last = await eventually('the old ones are gone', async () => {
    const set = await published();
    return set.keys.length === 1 && set;
  });
  for (const token of [first, second]) {
    await assert.rejects(jwtVerify(token, createLocalJWKSet(last), RULES), errors.JWKSNoMatchingKey);
  }
  await jwtVerify(await login(url, admin), createLocalJWKSet(last), RULES);
}

const folder = await mkdtemp(join(tmpdir(), 'docket-jwks-'));
// PostgreSQL's user must be able to enter it.
await chmod(folder, 0o755);
let server;
try {
  server = await start(folder);
  await check(server, folder);
  console.log('jose verifies the tokens of each key for as long as it is published, and no other');
} finally {
  server?.child.kill('SIGTERM');
  await server?.ended;
  await rm(folder, { recursive: true, force: true });
}
