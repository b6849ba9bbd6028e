// The mailed link of a registration: a click confirms the address. A program that opens links of mails does not click.
import '../form.css';
import { element, post, say, takeToken } from '../form';

const confirm = element<HTMLFormElement>('confirm');
const token = takeToken();
if (token === null) say('bad', 'Open the link that was mailed to you.');
else confirm.hidden = false;

confirm.addEventListener('submit', async (event) => {
  event.preventDefault();
  const told = await post(confirm, '/api/v1/auth/verify', { token: token ?? '' });
  if (!told) return;
  say('ok', told.message ?? 'Done.');
  confirm.hidden = true;
});
