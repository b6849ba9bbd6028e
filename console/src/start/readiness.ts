export interface Check { name: string; ok: boolean; state: string }
export interface Readiness { version: string | undefined; checks: Check[] }

const good = new Set(['ok', 'up', 'ready', 'pass', 'healthy', 'true']);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function check(name: string, value: unknown): Check {
  const said = isObject(value) ? value.status ?? value.state ?? value.ok : value;
  const word = typeof said === 'string' || typeof said === 'boolean' ? String(said).toLowerCase() : '';
  const ok = good.has(word);
  return { name, ok, state: ok ? 'ok' : word === '' || word === 'false' ? 'unreachable' : word.replaceAll('_', ' ') };
}

/**
 * Reads the body of /health/ready: `{"version": "0.1.0", "checks": {"postgres": "ok"}}`. A check may also be an object with a
 * `status`, and `checks` a list of such objects with a `name`. A body of another kind has no checks; it is never an error.
 */
export function readReadiness(body: string): Readiness {
  let said: unknown;
  try { said = JSON.parse(body); } catch { /* plain text: the status code says it all */ }
  if (!isObject(said)) return { version: undefined, checks: [] };
  const { version, checks } = said;
  const list = Array.isArray(checks) ? checks.filter(isObject).map((item) => check(String(item.name ?? 'unnamed'), item))
    : isObject(checks) ? Object.entries(checks).map(([name, value]) => check(name, value))
    : [];
  return { version: typeof version === 'string' ? version : undefined, checks: list };
}
