// A forgotten password: without a token this page asks for the mail, with the token of the mailed link it sets the new password.
import '../form.css';
import { element, post, reveal, say, takeToken } from '../form';

const ask = element<HTMLFormElement>('ask');
const set = element<HTMLFormElement>('set');
const password = element<HTMLInputElement>('password');

const token = takeToken();
(token === null ? ask : set).hidden = false;
reveal(element<HTMLInputElement>('shown'), password);

ask.addEventListener('submit', async (event) => {
  event.preventDefault();
  const told = await post(ask, '/api/v1/auth/forgot-password', { email: element<HTMLInputElement>('email').value });
  if (told) say('ok', told.message ?? 'Done.');
});

set.addEventListener('submit', async (event) => {
  event.preventDefault();
  const told = await post(set, '/api/v1/auth/reset-password', { token: token ?? '', password: password.value });
  if (!told) return;
  say('ok', told.message ?? 'Done.');
  set.hidden = true;
});
