// Searching in keys and values: hits come line by line, and the user can stop and continue a
// search.
import { h, fill, number, failure } from './dom.js';
import { send, answerOf } from './api.js';
import { fromB64, toB64, show, plain } from './bytes.js';
import { lines } from './ndjson.js';
import { list, rover } from './keyboard.js';
import { marker, choose, treeRoles } from './marks.js';

// makeSearch shows the hits below a prefix (bytes). It calls open(key in base64) for the key that
// the user chooses.
export function makeSearch({ prefix, text, values, exact, open, marks, signal }) {
  const roles = treeRoles(marks, { role: 'tree' });
  const found = h('ol', { class: 'tree hits', ...roles, 'aria-label': 'Keys found', hidden: true });
  const said = h('p', { class: 'muted small', role: 'status' });
  const tools = h('div', { class: 'toolbar' });
  const wrong = h('div');
  const el = h('div', { class: 'panel treebox', role: 'group', 'aria-label': 'Found' }, said, tools, found, wrong);
  let chosen = '';
  let hits = 0;
  let looked = 0;
  list(el, '.node');
  const settle = rover(el, '.node');
  const loaded = run('');

  async function run(from) {
    const stop = new AbortController();
    const end = () => stop.abort();
    signal.addEventListener('abort', end);
    fill(tools, h('button', { type: 'button', class: 'small', onclick: end }, 'Stop'));
    fill(wrong);
    const before = looked;
    let last = null;
    try {
      const q = new URLSearchParams({ prefix: toB64(prefix), text: toB64(text), from });
      if (values) q.set('values', '1');
      if (exact) q.set('exact', '1');
      const r = await send('GET', `search?${q}`, { signal: stop.signal });
      if (!r.ok) await answerOf(r);
      await lines(r, (line) => {
        if (line.key) add(line);
        if (line.looked) looked = before + line.looked;
        if (line.end) last = line;
        say(last ? '' : 'Looking… ');
      });
    } catch (err) {
      if (err.name !== 'AbortError')
        fill(
          wrong,
          failure(err, () => {
            looked = before;
            run(from);
          }),
        );
      else say('Stopped. ');
      fill(tools);
      return;
    } finally {
      signal.removeEventListener('abort', end);
    }
    fill(
      tools,
      last?.next && !last.error
        ? h('button', { type: 'button', class: 'small', onclick: () => run(last.next) }, 'Go on')
        : null,
    );
    if (!last)
      fill(
        wrong,
        failure(new Error('The connection broke off; this is not all.'), () => {
          looked = before;
          run(from);
        }),
      );
    else if (last.error)
      fill(
        wrong,
        failure(new Error(last.error), () => run(last.next || from)),
      );
    else say(last.next ? 'Not all was looked at yet. ' : 'All was looked at. ');
  }

  function say(state) {
    said.textContent = `${state}${number.format(hits)} found in ${number.format(looked)} ${looked === 1 ? 'key' : 'keys'}.`;
  }

  function add(line) {
    hits++;
    const key = fromB64(line.key);
    const node = h(
      'button',
      {
        type: 'button',
        class: 'node',
        ...treeRoles(marks, { role: 'treeitem' }),
        tabindex: -1,
        title: plain(key).slice(0, 500),
        data: { key: line.key },
        onclick: () => {
          mark(line.key);
          open(line.key);
        },
      },
      h('span', { class: 'name' }, show(key)),
      line.leased ? h('span', { class: 'note' }, 'lease') : null,
      line.excerpt ? h('span', { class: 'excerpt muted' }, line.before ? '…' : '', show(fromB64(line.excerpt))) : null,
    );
    choose(node, line.key === chosen);
    const box = marker(marks, { key: line.key, mod: line.mod }, node);
    found.append(h('li', treeRoles(marks, { role: 'none' }), box, node));
    found.hidden = false;
    settle();
  }

  function mark(b64) {
    chosen = b64;
    for (const n of el.querySelectorAll('.node')) choose(n, n.dataset.key === b64);
  }

  return {
    el,
    mark,
    notice() {},
    async focus() {
      await loaded;
      el.querySelector('.node')?.focus();
    },
  };
}
