// Ctrl-K: to a page, a key, a service or an action, by typing a part of its name.
import { h, fill } from './dom.js';
import { get, me } from './api.js';
import { fromB64, toB64, toURL, read, write, show, encode, startsWith } from './bytes.js';
import { closeDialogs, dialog } from './dialog.js';
import { pageKeys } from './keyboard.js';

const most = 12; // entries on the screen

// matches reports whether all words are in a text.
const matches = (text, words) => words.every((w) => text.toLowerCase().includes(w));

// keysLike lists the entries of the tree of keys that begin with the typed path. The prefix ends
// with its last slash.
async function keysLike(typed, signal) {
  const bytes = read(typed);
  const prefix = bytes.slice(0, bytes.lastIndexOf(0x2f) + 1);
  const p = await get('tree', { prefix: toB64(prefix), separator: toB64(encode('/')), limit: 200 }, signal);
  return p.children.map((c) => ({ key: fromB64(c.key), exists: !c.branch })).filter((c) => startsWith(c.key, bytes));
}

// open shows the dialog. pages are the pages of the navigation.
export function open(pages, go) {
  if (!me.signedIn) return;
  closeDialogs();
  const stop = new AbortController();
  let services = [];
  let keys = [];
  let asked = 0;
  let at = 0;
  let entries = [];
  const name = h('input', {
    role: 'combobox',
    'aria-label': 'Jump to',
    'aria-expanded': 'true',
    'aria-controls': 'jump-list',
    'aria-autocomplete': 'list',
    placeholder: 'A page, an action, a service, or the beginning of a key',
    spellcheck: 'false',
    autocapitalize: 'off',
    data: { focus: '' },
    oninput: typed,
  });
  const listed = h('div', { id: 'jump-list', class: 'jump', role: 'listbox', 'aria-label': 'Matches' });
  name.addEventListener('keydown', (e) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (step && entries.length) {
      e.preventDefault();
      at = (at + step + entries.length) % entries.length;
      draw();
    }
    if (e.key === 'Enter') {
      e.preventDefault();
      run(entries[at]);
    }
  });
  const closed = dialog('Jump to', h('div', {}, name, listed), [{ value: '', text: 'Close' }], { class: 'wide' });
  closed.then(() => stop.abort());
  get('services', { records: 'json' }, stop.signal).then(
    (s) => {
      services = [...new Set(s.services.map((x) => x.name))];
      typed();
    },
    () => {},
  ); // a user who may not read these gets the other entries
  typed();

  function run(entry) {
    if (!entry) return;
    closeDialogs();
    entry.run();
  }

  function typed() {
    const text = name.value.trim();
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const all = [
      ...pages.map((p) => ({ kind: 'Page', text: p.name, run: () => go(p.path) })),
      ...pageKeys.map((k) => ({ kind: 'Action', text: k.text, run: k.run })),
      ...services.map((s) => ({ kind: 'Service', text: s, run: () => go('services', { q: s }) })),
    ].filter((e) => matches(`${e.kind} ${e.text}`, words));
    const bytes = text ? read(text) : null;
    if (bytes?.length) {
      const under = keys
        .filter((k) => startsWith(k.key, bytes))
        .map((k) =>
          k.exists
            ? { kind: 'Key', text: write(k.key), run: () => go('keys', { key: toURL(toB64(k.key)) }) }
            : { kind: 'Keys below', text: write(k.key), run: () => go('keys', { prefix: toURL(toB64(k.key)) }) },
        );
      all.push(...under);
      if (!under.some((k) => k.text === text))
        all.push({ kind: 'Key', text, run: () => go('keys', { key: toURL(toB64(bytes)) }) });
      const mine = ++asked;
      keysLike(text, stop.signal).then(
        (got) => {
          if (
            mine !== asked ||
            JSON.stringify(got.map((k) => write(k.key))) === JSON.stringify(keys.map((k) => write(k.key)))
          )
            return;
          keys = got;
          typed();
        },
        () => {},
      );
    }
    entries = all.slice(0, most);
    at = Math.min(at, Math.max(0, entries.length - 1));
    draw();
  }

  function draw() {
    fill(
      listed,
      entries.length
        ? entries.map((e, i) =>
            h(
              'div',
              { id: `jump-${i}`, role: 'option', 'aria-selected': String(i === at), onclick: () => run(e) },
              h('span', { class: 'kind muted small' }, e.kind),
              ' ',
              show(encode(e.text)),
            ),
          )
        : h(
            'div',
            { role: 'option', 'aria-disabled': 'true', 'aria-selected': 'false', class: 'muted' },
            'Nothing matches.',
          ),
    );
    if (entries.length) name.setAttribute('aria-activedescendant', `jump-${at}`);
    else name.removeAttribute('aria-activedescendant');
  }
}
