export interface Step { title: string; command: string }

/** The README's four steps for an origin. Plain sh, curl and grep: nothing else need be installed. */
export function steps(origin: string): Step[] {
  const next = ' \\\n  ';
  const json = "-H 'content-type: application/json'";
  const as = (who: string) => `-H "authorization: Bearer $${who}"`;
  const pick = (name: string) => `grep -o '"${name}": *"[^"]*"' | head -n 1 | cut -d '"' -f 4`;
  const login = (who: string) =>
    `${who}=$(curl -sS ${origin}/api/v1/auth/login ${json}${next}`
    + `-d '{"email": "${who}@example.org", "password": "PASSWORD"}'${next}| ${pick('access_token')})`;
  const consultations = `${origin}/api/v1/consultations`;
  return [
    { title: 'Log in, as the one who asks and as the one who decides', command: `${login('asker')}\n${login('reviewer')}` },
    { title: 'Ask (the answer is shown, its id kept)',
      command: `id=$(curl -sS ${consultations}${next}${as('asker')} ${json}${next}`
        + `-d '{"title": "Ship release 1.4?", "body": "All tests are green.", "timeout_minutes": 60}'${next}`
        + `| tee /dev/stderr | ${pick('id')})` },
    { title: 'Decide',
      command: `curl -sS ${consultations}/$id/responses${next}${as('reviewer')} ${json}${next}-d '{"decision": "approve"}'` },
    { title: 'Read back', command: `curl -sS ${consultations}/$id ${as('asker')}` },
  ];
}
