// The mailed link of an invitation: with a new account, or with the one that somebody has.
import '../form.css';
import { element, post, reveal, say, takeToken } from '../form';

const fresh = element<HTMLFormElement>('fresh');
const known = element<HTMLFormElement>('known');
const other = element<HTMLButtonElement>('other');
const value = (id: string) => element<HTMLInputElement>(id).value;

const token = takeToken();
if (token === null) say('bad', 'Open the link that was mailed to you.');
else fresh.hidden = other.hidden = false;
reveal(element<HTMLInputElement>('shown'), element<HTMLInputElement>('password'));

const show = (form: HTMLFormElement) => {
  fresh.hidden = form !== fresh;
  known.hidden = form !== known;
  other.textContent = form === fresh ? 'I have an account' : 'I have no account';
};
other.addEventListener('click', () => show(fresh.hidden ? fresh : known));
fresh.addEventListener('known', () => show(known));

const done = () => {
  fresh.hidden = known.hidden = other.hidden = true;
  say('ok', 'You belong to the organisation now. You can log in.');
};

fresh.addEventListener('submit', async (event) => {
  event.preventDefault();
  const body = { invitation: token ?? '', name: value('name'), password: value('password') };
  if (await post(fresh, '/api/v1/auth/register', body)) done();
});

known.addEventListener('submit', async (event) => {
  event.preventDefault();
  const inside = await post(known, '/api/v1/auth/login', { email: value('email'), password: value('current') });
  if (!inside) return;
  if (!inside.access_token) return say('bad', 'This account takes a second factor: log in first, and accept the invitation there.');
  if (await post(known, '/api/v1/invitations/accept', { token: token ?? '' }, inside.access_token)) done();
});
