// The changes through this console: the user, the target, and the values before and after.
import { h, fill, table, row, state, failure } from '../js/dom.js';
import { get } from '../js/api.js';
import { show, encode } from '../js/bytes.js';
import { list } from '../js/keyboard.js';

const columns = [
  { name: 'When' },
  { name: 'Who' },
  { name: 'What' },
  { name: 'Before' },
  { name: 'After' },
  { name: 'Outcome' },
];
const kinds = { done: 'ok', failed: 'bad', unknown: 'warn', asked: 'off' };
const mono = (text) => h('span', { class: 'mono' }, show(encode(text || '')));

export function mount(page) {
  const body = h('div', {}, h('p', { class: 'wait' }, 'Loading…'));
  fill(
    page.root,
    h('div', { class: 'head' }, h('h1', {}, 'Changes'), h('button', { type: 'button', onclick: load }, 'Refresh')),
    body,
  );
  list(body, 'tr[tabindex]');
  page.every(5000, load);
  load();

  async function load() {
    let a;
    try {
      a = await get('audit', {}, page.signal);
    } catch (err) {
      if (err.name !== 'AbortError') fill(body, failure(err, load));
      return;
    }
    fill(
      body,
      h(
        'p',
        { class: 'muted' },
        a.own
          ? 'Your changes through this console since it started.'
          : 'Changes through this console since it started, the latest first.',
      ),
      a.changes.length
        ? h(
            'section',
            { class: 'panel tablebox' },
            table(
              'Changes',
              columns,
              a.changes.map((c) =>
                row(
                  columns,
                  [
                    new Date(c.time).toLocaleString(),
                    h(
                      'span',
                      {},
                      show(encode(c.user || 'token')),
                      h('div', { class: 'small muted' }, show(encode(c.from))),
                    ),
                    h('span', {}, c.action, ' ', mono(c.target)),
                    mono(c.before),
                    mono(c.after),
                    h(
                      'span',
                      {},
                      state(kinds[c.outcome] || 'off', c.outcome),
                      c.error ? h('div', { class: 'small' }, show(encode(c.error))) : null,
                    ),
                  ],
                  { tabindex: 0 },
                ),
              ),
            ),
          )
        : h('p', { class: 'empty' }, 'Nothing was changed.'),
    );
  }
}
