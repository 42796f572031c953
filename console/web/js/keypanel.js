// One key: its state, its value in three forms, and the actions on it.
import { h, fill, seconds, bytesText, number, failure, toast } from './dom.js';
import { get, me } from './api.js';
import { fromB64, toURL, show, decode, json } from './bytes.js';
import { valueView, bestForm, forms } from './value.js';
import { editor } from './edit.js';
import { removeKey } from './remove.js';
import { revisions } from './revisions.js';

// keyPanel shows a key (base64) in an element until it is closed.
export function keyPanel(root, key) {
  const bytes = fromB64(key);
  const stop = new AbortController();
  let now = null; // the key's state
  let form = ''; // the chosen one; '' for the best
  let editing = null;
  let waiting = 0; // a timer: the key may be among changes that were not listed
  const head = h('h2', { class: 'keyname' }, show(bytes));
  const facts = h('dl', { class: 'facts' });
  const tools = h('div', { class: 'toolbar' });
  const body = h('div');
  const below = h('div');
  fill(root, head, facts, tools, body, below);
  fill(body, h('p', { class: 'wait' }, 'Loading…'));
  load(true);

  async function load(always) {
    let got;
    try {
      got = await get('key', { key }, stop.signal);
    } catch (err) {
      if (err.name !== 'AbortError' && !editing)
        fill(
          body,
          failure(err, () => load(true)),
        );
      return;
    }
    const same = now && now.exists === got.exists && now.mod === got.mod && !always;
    now = got;
    if (!same) draw(); // otherwise scrolled and opened parts stay as they are
  }

  function draw() {
    const fact = (name, ...value) => h('div', {}, h('dt', {}, name), h('dd', {}, value));
    const value = fromB64(now.value);
    if (!now.exists) {
      fill(facts, fact('State', 'does not exist'), fact('Cluster revision', number.format(now.revision)));
      if (!editing)
        fill(
          body,
          h('p', { class: 'empty' }, 'The key does not exist. If it was deleted, its revisions may still be there.'),
        );
    } else {
      fill(
        facts,
        fact('Modified at', number.format(now.mod)),
        fact('Created at', number.format(now.create)),
        fact('Version', number.format(now.version)),
        fact('Size', bytesText(now.size)),
        fact(
          'Lease',
          now.lease
            ? [h('a', { href: `#/leases?id=${now.lease}`, class: 'mono' }, now.lease), ` ${seconds(now.ttl || 0)} left`]
            : 'none',
        ),
      );
      if (!editing) fill(body, valueView(value, form || bestForm(value)));
    }
    if (editing) {
      editing.changed(now);
      return;
    }
    const chosen = form || bestForm(value);
    fill(
      tools,
      now.exists
        ? h(
            'span',
            { class: 'segments', role: 'group', 'aria-label': 'Show as' },
            forms.map(([id, name]) =>
              h(
                'button',
                {
                  type: 'button',
                  class: 'small',
                  'aria-pressed': String(id === chosen),
                  disabled: id === 'json' && json(decode(value)) === null,
                  onclick: () => {
                    form = id;
                    draw();
                    tools.querySelector('[aria-pressed=true]').focus();
                  },
                },
                name,
              ),
            ),
          )
        : null,
      me.readOnly
        ? null
        : h('button', { type: 'button', class: 'small', onclick: edit }, now.exists ? 'Edit' : 'Create'),
      h('button', { type: 'button', class: 'small', onclick: history }, 'Revisions'),
      now.exists ? h('button', { type: 'button', class: 'small', onclick: copy }, 'Copy value') : null,
      h('a', { class: 'small', href: `#/watch?prefix=${toURL(key)}` }, 'Watch'),
      me.readOnly || !now.exists
        ? null
        : h(
            'button',
            {
              type: 'button',
              class: 'small danger',
              onclick: async () => {
                if (await removeKey(key, now)) load(true);
              },
            },
            'Delete…',
          ),
    );
  }

  async function copy() {
    const text = decode(fromB64(now.value));
    if (text === null) {
      toast('The value is not text; it was not copied.');
      return;
    }
    try {
      await navigator.clipboard.writeText(text);
      toast('Copied.');
    } catch {
      toast('The browser did not allow that.');
    }
  }

  function edit() {
    if (me.readOnly || !now || editing) return;
    fill(tools);
    editing = editor(body, key, now, (saved) => {
      editing = null;
      if (saved) toast('Saved.');
      load(true);
    });
  }

  function history() {
    revisions(below, key, stop.signal);
  }

  return {
    key,
    edit,
    revisions: history,
    close() {
      stop.abort();
    },
    notice(batch) {
      if (batch.changes.some((c) => c.key === key)) load();
      else if ((batch.dropped || batch.gap) && !waiting)
        waiting = setTimeout(() => {
          waiting = 0;
          if (!stop.signal.aborted) load();
        }, 1000);
    },
  };
}
