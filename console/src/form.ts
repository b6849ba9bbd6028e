// What the pages behind mailed links share: elements, the token of the link, and forms that say what came of them.
export const element = <T extends HTMLElement>(id: string): T => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no #${id}`);
  return found as T;
};

/** The token of the mailed link. It stands behind the address's #, which no server and no log sees, and leaves the address at once. */
export const takeToken = (): string | null => {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  history.replaceState(null, '', location.pathname);
  return token;
};

/** Says something below the forms. */
export const say = (state: 'ok' | 'bad', text: string) => {
  const said = element('said');
  said.dataset['state'] = state;
  said.textContent = text;
};

interface Answer { code?: string; detail?: string; errors?: { detail: string }[]; message?: string; access_token?: string }

/** Posts, and says what went wrong; null then. */
export const post = async (form: HTMLFormElement, path: string, body: Record<string, string>, bearer?: string): Promise<Answer | null> => {
  const button = form.querySelector('button');
  if (button) button.disabled = true;
  try {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (bearer) headers['authorization'] = `Bearer ${bearer}`;
    const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
    const told = (await answer.json()) as Answer;
    if (answer.ok) return told;
    say('bad', told.errors?.[0]?.detail ?? told.detail ?? `It did not work (${answer.status}).`);
    if (told.code === 'account_exists') form.dispatchEvent(new Event('known'));
  } catch {
    say('bad', 'The server does not answer. Try again in a moment.');
  } finally {
    if (button) button.disabled = false;
  }
  return null;
};

/** Lets a check box show what is typed into a field. */
export const reveal = (shown: HTMLInputElement, field: HTMLInputElement) => {
  shown.addEventListener('change', () => {
    field.type = shown.checked ? 'text' : 'password';
  });
};
