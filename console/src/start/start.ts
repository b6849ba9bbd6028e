import './start.css';
import { readReadiness, type Check } from './readiness';
import { steps } from './steps';

const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
};

function make<K extends keyof HTMLElementTagNameMap>(tag: K, text = '', ...children: Node[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.append(text, ...children);
  return element;
}

// --- live state ---

const everyMs = 5_000;
const giveUpMs = 4_000;
let shown = '';

function show(state: 'ok' | 'bad', sentence: string, checks: Check[], version: string | undefined): void {
  const now = JSON.stringify([state, sentence, checks, version]);
  if (now === shown) return; // so that a screen reader hears changes only
  shown = now;
  byId('state').textContent = sentence;
  byId('state').dataset.state = state;
  if (version) byId('version').textContent = version;
  byId('checks').replaceChildren(...checks.map((check) => {
    const item = make('li', '', make('span', check.name), make('b', check.state));
    item.dataset.ok = String(check.ok);
    return item;
  }));
}

async function look(): Promise<void> {
  try {
    const answer = await fetch('/health/ready', { cache: 'no-store', signal: AbortSignal.timeout(giveUpMs) });
    const readiness = readReadiness(await answer.text());
    const failed = readiness.checks.filter((check) => !check.ok).length;
    const sentence = answer.ok && failed === 0 ? 'Ready: everything answers.'
      : failed > 0 ? `Not ready: ${failed} of ${readiness.checks.length} checks ${failed === 1 ? 'does' : 'do'} not answer.`
      : `Not ready (HTTP ${answer.status}).`;
    show(answer.ok && failed === 0 ? 'ok' : 'bad', sentence, readiness.checks, readiness.version);
    if (!readiness.version) void versionFromContract();
  } catch {
    show('bad', 'The server does not answer.', [], undefined);
  }
}

/** Where readiness names no version (a role run alone, say), the REST contract does. */
let askedContract = false;
async function versionFromContract(): Promise<void> {
  if (askedContract) return;
  askedContract = true;
  try {
    const answer = await fetch('/openapi.json', { signal: AbortSignal.timeout(giveUpMs) });
    const version: unknown = answer.ok ? (await answer.json())?.info?.version : undefined;
    if (typeof version === 'string') byId('version').textContent = version;
  } catch { /* the page does without */ }
}

async function watch(): Promise<void> {
  if (!document.hidden) await look();
  setTimeout(() => void watch(), everyMs);
}

// --- the lines to copy ---

function copyButton(text: string): HTMLButtonElement | undefined {
  if (!navigator.clipboard) return undefined; // only secure origins and the loopback have one
  const button = make('button', 'Copy');
  button.type = 'button';
  button.addEventListener('click', () => {
    navigator.clipboard.writeText(text).then(() => { button.textContent = 'Copied'; }, () => { button.textContent = 'Select it by hand'; });
    setTimeout(() => { button.textContent = 'Copy'; }, 2_000);
  });
  return button;
}

byId('steps').replaceChildren(...steps(location.origin).map(({ title, command }) => {
  const heading = make('h3', '', make('span', title));
  const button = copyButton(command);
  if (button) {
    button.setAttribute('aria-label', `Copy: ${title}`);
    heading.append(button);
  }
  const block = make('pre', '', make('code', command));
  block.tabIndex = 0; // it scrolls sideways on small screens
  return make('li', '', heading, block);
}));

// --- the outbox, where mails go to a folder ---

async function outbox(): Promise<void> {
  try {
    const answer = await fetch('/outbox', { signal: AbortSignal.timeout(giveUpMs) });
    byId('outbox').hidden = !answer.ok;
  } catch { /* no link */ }
}
void outbox();

document.addEventListener('visibilitychange', () => { if (!document.hidden) void look(); });
void watch();
