// Several keys at once: they are marked one by one, and what is done then is done with all of them
// or none.
import { h, fill, number, toast } from './dom.js';
import { post } from './api.js';
import { fromB64, show } from './bytes.js';
import { confirm } from './dialog.js';

// marksMost fit into one transaction.
export const marksMost = 100;

// makeMarks is a set of marked keys (base64) with the revision in which each was seen, and a bar
// for what can be done with them.
export function makeMarks() {
  const all = new Map();
  const el = h('div', { class: 'toolbar marks', role: 'status', hidden: true });
  const marks = { on: false, all, el, changed, clear };
  function changed() {
    el.hidden = !all.size;
    fill(
      el,
      `${number.format(all.size)} marked`,
      h('button', { type: 'button', class: 'small danger', onclick: remove }, 'Delete them…'),
      h('button', { type: 'button', class: 'small', onclick: clear }, 'Unmark all'),
    );
  }
  function clear() {
    all.clear();
    for (const box of document.querySelectorAll('input.marker')) box.checked = false;
    changed();
  }
  async function remove() {
    const keys = [...all].map(([key, mod]) => ({ key, mod }));
    const ok = await confirm(
      'Delete these keys?',
      h(
        'div',
        {},
        h(
          'ol',
          { class: 'keylist', tabindex: 0, 'aria-label': 'Keys' },
          keys.map((k) => h('li', {}, show(fromB64(k.key)))),
        ),
        h('p', { class: 'muted' }, 'All at once. If one of them was changed since it was marked, nothing is deleted.'),
      ),
      `Delete ${number.format(keys.length)} ${keys.length === 1 ? 'key' : 'keys'}`,
      'danger',
    );
    if (!ok) return;
    try {
      const done = await post('delete', { keys });
      toast(`Deleted ${number.format(done.deleted)} ${done.deleted === 1 ? 'key' : 'keys'}.`);
      clear();
    } catch (err) {
      const changed = (err.detail?.changed || []).map((k) => show(fromB64(k.key)));
      await confirm(
        'Nothing was deleted',
        h(
          'div',
          {},
          h('p', {}, err.message),
          changed.length
            ? h(
                'ol',
                { class: 'keylist', tabindex: 0, 'aria-label': 'Changed' },
                changed.map((k) => h('li', {}, k)),
              )
            : null,
        ),
        'Unmark them',
      ).then((yes) => {
        if (!yes) return;
        for (const k of err.detail?.changed || []) all.delete(k.key);
        for (const box of document.querySelectorAll('input.marker')) box.checked = all.has(box.dataset.key);
        marks.changed();
      });
    }
  }
  return marks;
}

// marker is the box that marks a key.
export function marker(marks, key, mod) {
  if (!marks?.on) return null;
  return h('input', {
    type: 'checkbox',
    class: 'marker',
    checked: marks.all.has(key),
    data: { key },
    'aria-label': `mark ${show(fromB64(key)).textContent}`,
    onchange: (e) => {
      if (!e.currentTarget.checked) marks.all.delete(key);
      else if (marks.all.size < marksMost) marks.all.set(key, mod);
      else {
        e.currentTarget.checked = false;
        toast(`No more than ${marksMost} keys can be marked; more go by their prefix.`);
      }
      marks.changed();
    },
  });
}
