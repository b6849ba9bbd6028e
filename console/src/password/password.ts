// A forgotten password: without a token this page asks for the mail, with the token of the mailed link it sets the new password.
// The token stands behind the address's #, which no server and no log sees, and leaves the address at once.
import './password.css';

const element = <T extends HTMLElement>(id: string): T => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no #${id}`);
  return found as T;
};

const ask = element<HTMLFormElement>('ask');
const set = element<HTMLFormElement>('set');
const said = element<HTMLParagraphElement>('said');
const password = element<HTMLInputElement>('password');
const shown = element<HTMLInputElement>('shown');

const token = new URLSearchParams(location.hash.slice(1)).get('token');
history.replaceState(null, '', location.pathname);
(token === null ? ask : set).hidden = false;

const say = (state: 'ok' | 'bad', text: string) => {
  said.dataset['state'] = state;
  said.textContent = text;
};

interface Problem { detail?: string; errors?: { detail: string }[] }

/** Posts, and says what came of it; true when it worked. */
const post = async (form: HTMLFormElement, path: string, body: Record<string, string>): Promise<boolean> => {
  const button = form.querySelector('button');
  if (button) button.disabled = true;
  try {
    const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    const told = (await answer.json()) as Problem & { message?: string };
    if (answer.ok) {
      say('ok', told.message ?? 'Done.');
      return true;
    }
    say('bad', told.errors?.[0]?.detail ?? told.detail ?? `It did not work (${answer.status}).`);
  } catch {
    say('bad', 'The server does not answer. Try again in a moment.');
  } finally {
    if (button) button.disabled = false;
  }
  return false;
};

ask.addEventListener('submit', (event) => {
  event.preventDefault();
  void post(ask, '/api/v1/auth/forgot-password', { email: element<HTMLInputElement>('email').value });
});

set.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (await post(set, '/api/v1/auth/reset-password', { token: token ?? '', password: password.value })) set.hidden = true;
});

shown.addEventListener('change', () => {
  password.type = shown.checked ? 'text' : 'password';
});
