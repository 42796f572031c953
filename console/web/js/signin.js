// The page for users who are not signed in.
import { h, fill } from './dom.js';
import { post, me, keepSecret } from './api.js';

// enter signs in with a token, or with a name and a password, and returns the same as GET session;
// null if no sign-in is needed.
export async function enter(proof) {
  const { secret, ...who } = (await post('session', proof)) || {};
  keepSecret(secret);
  return secret ? who : null;
}

// tokenIn returns the token in the address that the console printed, and removes it from the
// address bar.
export function tokenIn() {
  const token = new URLSearchParams(location.search).get('token');
  if (token !== null) history.replaceState(null, '', location.pathname + location.hash);
  return token;
}

const foreign = '#token-from-another-site';

export function signIn(main, done, why) {
  if (location.hash === foreign) {
    why =
      'Another site brought you here, so the token in the address was not used. Copy the address into the ' +
        'address bar, or sign in here.';
    history.replaceState(null, '', location.pathname);
  }
  const say = h('p', { class: 'say', role: 'alert' }, why || '');
  const send = (read) => async (e) => {
    e.preventDefault();
    say.textContent = '';
    try {
      await enter(read());
    } catch (err) {
      say.textContent = err.code === 'denied' ? 'The name, the password or the token is wrong.' : err.message;
      return;
    }
    done();
  };
  const user = h('input', { name: 'user', autocomplete: 'username', required: true });
  const password = h('input', { name: 'password', type: 'password', autocomplete: 'current-password' });
  const token = h('input', { name: 'token', type: 'password', autocomplete: 'off', required: true });
  fill(
    main,
    h(
      'div',
      { class: 'signin panel' },
      h('h1', {}, 'Sign in'),
      me.login
        ? h(
            'form',
            { onsubmit: send(() => ({ user: user.value, password: password.value })) },
            h('label', {}, 'User of etcd', user),
            h('label', {}, 'Password', password),
            h('button', { class: 'primary' }, 'Sign in'),
          )
        : null,
      me.token
        ? h(
            'form',
            { onsubmit: send(() => ({ token: token.value })) },
            h('label', {}, 'Token', token),
            h('p', { class: 'muted' }, 'The token is in the address that the console printed when it started.'),
            h('button', { class: me.login ? '' : 'primary' }, 'Use the token'),
          )
        : null,
      say,
    ),
  );
  main.querySelector('input')?.focus();
}
