// The start: the signed-in user, the navigation, and the page that the address names.
import { h, fill, setText, failure } from './dom.js';
import { get, del, me, whenSignedOut, keepSecret } from './api.js';
import * as stream from './stream.js';
import * as keyboard from './keyboard.js';
import { signIn, enter, tokenIn } from './signin.js';
import { closeDialogs } from './dialog.js';
import { banner, worst } from './health.js';

const pages = [
  { path: 'overview', name: 'Overview', letter: 'o' },
  { path: 'services', name: 'Services', letter: 's' },
  { path: 'keys', name: 'Keys', letter: 'k' },
  { path: 'watch', name: 'Watch', letter: 'w' },
  { path: 'leases', name: 'Leases', letter: 'l' },
  { path: 'locks', name: 'Locks', letter: 'c' },
  { path: 'access', name: 'Access', letter: 'a' },
  { path: 'audit', name: 'Audit', letter: 'u' },
];

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const live = document.getElementById('live');
const wrong = document.getElementById('wrong');
let current = null; // {path, leave, change}

fill(
  nav,
  pages.map((p) => h('a', { href: `#/${p.path}`, data: { page: p.path } }, p.name)),
);

function parse() {
  const [, path = '', q = ''] = /^#\/([a-z]*)\??(.*)$/.exec(location.hash) || [];
  const page = pages.find((p) => p.path === path) || pages[0];
  return { page, params: new URLSearchParams(q) };
}

export function go(path, params) {
  const q = params ? `?${new URLSearchParams(params)}` : '';
  location.hash = `#/${path}${q}`;
}

const load = (page) => import(`../pages/${page.path}.js`);

async function route() {
  closeDialogs(); // they are about what the page has shown
  if (!me.signedIn) return;
  const { page, params } = parse();
  if (current?.path === page.path && current.change) {
    current.change(params);
    return;
  }
  leave();
  const mine = { path: page.path };
  current = mine;
  for (const a of nav.children) {
    if (a.dataset.page === page.path) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  document.title = `${page.name} – Fairlead`;
  let mod;
  try {
    mod = await load(page);
  } catch (err) {
    if (current === mine)
      fill(
        main,
        failure(new Error('This page could not be loaded.'), () => {
          current = null;
          route();
        }),
      );
    return;
  }
  if (current !== mine) return;
  const root = h('div', { class: `page ${page.path}` });
  fill(main, root);
  const off = [];
  const stop = new AbortController();
  const page_ = {
    root,
    params,
    go,
    signal: stop.signal,
    on: (name, f) => off.push(stream.on(name, f)),
    follow: stream.follow,
    every: (ms, f) => {
      const t = setInterval(() => {
        if (!document.hidden) f();
      }, ms);
      off.push(() => clearInterval(t));
    },
    keys: (list) => keyboard.pageKeys.push(...list),
  };
  mine.leave = () => {
    stop.abort();
    off.forEach((f) => f());
    keyboard.pageKeys.length = 0;
  };
  stream.follow({});
  mine.change = mod.mount(page_) || null;
}

function leave() {
  current?.leave?.();
  current = null;
}

function signedOut() {
  if (!me.signedIn) return;
  me.signedIn = false;
  closeDialogs();
  leave();
  stream.close();
  stream.latest.health = null;
  showSignIn();
}

function showSignIn(why) {
  nav.hidden = true;
  wrong.hidden = true;
  delete wrong.dataset.keys;
  document.title = 'Sign in – Fairlead';
  setText(live, '');
  signIn(main, begin, why);
}

// A focused element is scrolled to below the head of the page, never under it.
const top_ = document.querySelector('.top');
new ResizeObserver(() => {
  document.documentElement.style.setProperty('--head', `${top_.offsetHeight}px`);
}).observe(top_);

const themeButton = document.getElementById('theme');
const themeNames = { '': 'Auto', light: 'Light', dark: 'Dark' };
themeButton.textContent = themeNames[window.fairleadTheme.get()];
themeButton.addEventListener('click', () => {
  themeButton.textContent = themeNames[window.fairleadTheme.next()];
});
document.getElementById('help').addEventListener('click', () => keyboard.help(pages));
document.getElementById('signout').addEventListener('click', async () => {
  await del('session').catch(() => {});
  keepSecret('');
  signedOut();
});

stream.on('state', ({ name, why }) => {
  live.title = why || '';
  if (name === 'live') {
    head();
    return;
  }
  stream.latest.health = null; // it may be outdated
  live.className = `live ${name}`;
  setText(live, why ? 'Not live' : 'Reconnecting');
});
stream.on('health', (health) => {
  banner(wrong, health, me.operates);
  head();
});

// head shows the state of the cluster. Before it is known, it shows nothing good: the page may be
// live while the cluster is not.
function head() {
  const every = stream.latest.health?.every / 1000;
  live.title = every ? `The cluster is examined every ${every} s.` : '';
  const { kind, text } = stream.latest.health ? worst(stream.latest.health) : { kind: 'wait', text: 'Looking' };
  live.className = `live ${kind}`;
  setText(live, text);
}

async function begin() {
  const token = tokenIn();
  let why = '';
  let who = null;
  load(parse().page).catch(() => {}); // route reports an error
  try {
    if (token !== null)
      who = await enter({ token }).catch((err) => {
        why =
          err.code === 'denied'
            ? 'The token in the address is wrong. A console that was restarted has a new one.'
            : err.message;
      });
    Object.assign(me, { user: '', cluster: '' }, who || (await get('session')));
  } catch (err) {
    fill(main, failure(err, begin));
    return;
  }
  document.getElementById('who').textContent = [me.user, me.readOnly ? 'read-only' : ''].filter(Boolean).join(' · ');
  document.getElementById('signout').hidden = me.open || !me.signedIn;
  if (!me.signedIn) {
    showSignIn(why);
    return;
  }
  nav.hidden = false;
  stream.open();
  route();
}

whenSignedOut(signedOut);
stream.on('signedout', signedOut);
window.addEventListener('hashchange', route);
keyboard.start(pages, go, (list, to) => import('./jump.js').then((m) => m.open(list, to)));
document.getElementById('jump').addEventListener('click', () => import('./jump.js').then((m) => m.open(pages, go)));
begin();
