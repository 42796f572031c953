// Several keys at once: the user marks them one by one, and an action is done with all of them or
// none.
import { h, fill, number, toast } from './dom.js';
import { post } from './api.js';
import { fromB64, show, plain } from './bytes.js';
import { confirm } from './dialog.js';

// marksMost is how many keys fit into one transaction.
export const marksMost = 100;

// makeMarks returns a set of marked keys (base64) with the revision at which each was shown, and a
// bar with the actions on them.
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
    for (const box of document.querySelectorAll('input.marker')) box.show();
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
        h('p', { class: 'muted' }, 'All at once. If one of them has changed since it was marked, nothing is deleted.'),
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
        const now = new Map((err.detail?.changed || []).map((k) => [k.key, k.mod]));
        for (const key of now.keys()) all.delete(key);
        for (const box of document.querySelectorAll('input.marker')) {
          box.show();
          if (now.get(box.dataset.key)) box.child.mod = now.get(box.dataset.key); // the revision from this answer
        }
        marks.changed();
      });
    }
  }
  return marks;
}

// treeRoles returns an element's attributes as a part of a tree. While keys are marked there is no
// tree, but a list with a box and a button for each key: a tree has no place for boxes, and by
// touch the user of a screen reader can press a box, but not the space bar.
export const treeRoles = (marks, roles) => (marks?.on ? {} : roles);

// choose marks a key's node as the shown one, or not.
export function choose(node, yes) {
  node.classList.toggle('shown', yes);
  if (node.getAttribute('role') === 'treeitem') node.setAttribute('aria-selected', String(yes));
  else if (yes) node.setAttribute('aria-current', 'true');
  else node.removeAttribute('aria-current');
}

// marker returns the box that marks a key of a tree: child has its name in base64 and the revision
// at which it was last shown. With the keyboard, the space bar on node, the key's item, marks it,
// so that the boxes are not stops of the Tab key.
export function marker(marks, child, node) {
  if (!marks?.on) return null;
  const key = child.key;
  const box = h('input', {
    type: 'checkbox',
    class: 'marker',
    tabindex: -1,
    'aria-label': `Mark ${plain(fromB64(key)).slice(0, 500)}`,
    data: { key },
    onchange: () => {
      if (!box.checked) marks.all.delete(key);
      else if (marks.all.size < marksMost) marks.all.set(key, child.mod);
      else toast(`No more than ${marksMost} keys can be marked; delete more by their prefix.`);
      box.show();
      marks.changed();
    },
  });
  box.child = child;
  box.show = () => {
    box.checked = marks.all.has(key);
    if (box.checked) node.setAttribute('aria-description', 'marked');
    else node.removeAttribute('aria-description');
  };
  box.show();
  node.addEventListener('keydown', (e) => {
    if (e.key !== ' ') return;
    e.preventDefault(); // otherwise it would open the key
    box.click();
  });
  node.addEventListener('keyup', (e) => {
    if (e.key === ' ') e.preventDefault();
  });
  return box;
}
