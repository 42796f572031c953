// The revisions of a key that are not compacted, and the difference between two.
import { h, fill, table, row, number, bytesText, failure, toast } from './dom.js';
import { confirm } from './dialog.js';
import { get, put, me } from './api.js';
import { fromB64, toB64 } from './bytes.js';
import { diffView } from './diff.js';
import { valueView, bestForm } from './value.js';

const columns = [
  { name: 'From' },
  { name: 'To' },
  { name: 'Revision', class: 'num' },
  { name: 'What' },
  { name: 'Version', class: 'num' },
  { name: 'Size', class: 'num' },
  { name: 'Lease' },
];

export async function revisions(root, key, signal) {
  fill(
    root,
    h('h2', { style: { 'margin-top': '1.2rem' } }, 'Revisions'),
    h('p', { class: 'wait' }, 'Reading the revisions…'),
  );
  let all;
  try {
    all = await get('history', { key }, signal);
  } catch (err) {
    if (err.name !== 'AbortError')
      fill(
        root,
        failure(err, () => revisions(root, key, signal)),
      );
    return;
  }
  const list = all.revisions;
  const result = h('div');
  const notes = [];
  if (all.dropped)
    notes.push(
      `The latest ${number.format(list.length)} are shown; ${number.format(all.dropped)} older ones are there too.`,
    );
  if (!all.complete) notes.push('Time ran out before all were read.');
  if (all.compacted)
    notes.push(`The cluster was compacted at revision ${number.format(all.compacted)}; older revisions are gone.`);
  if (!list.length) {
    fill(root, h('h2', {}, 'Revisions'), h('p', { class: 'empty' }, 'None is left.', ...notes));
    return;
  }
  let to = 0;
  let from = list.length > 1 ? 1 : 0;
  const pick = (name, i, on) =>
    h('input', {
      type: 'radio',
      name,
      checked: on,
      'aria-label': `${name === 'from' ? 'from' : 'to'} revision ${list[i].mod}`,
      onchange: () => {
        if (name === 'from') from = i;
        else to = i;
        compare();
      },
    });
  fill(
    root,
    h('h2', { style: { 'margin-top': '1.2rem' } }, 'Revisions'),
    notes.map((n) => h('p', { class: 'muted small' }, n)),
    h(
      'div',
      { class: 'scroll' },
      table(
        `${number.format(list.length)} of this key`,
        columns,
        list.map((v, i) =>
          row(columns, [
            pick('from', i, i === from),
            pick('to', i, i === to),
            number.format(v.mod),
            v.deleted
              ? h('span', { class: 'tag bad' }, 'deleted')
              : v.version === 1
                ? h('span', { class: 'tag ok' }, 'created')
                : 'changed',
            v.deleted ? '' : number.format(v.version),
            v.deleted ? '' : bytesText(v.size),
            v.lease || '',
          ]),
        ),
      ),
    ),
    result,
  );
  compare();

  async function value(i) {
    const v = list[i];
    if (v.left) {
      v.value = (await get('key', { key, rev: v.mod }, signal)).value;
      v.left = false;
    }
    return fromB64(v.value);
  }

  async function compare() {
    const [f, t] = [from, to];
    try {
      const [a, b] = [await value(f), await value(t)];
      if (f !== from || t !== to) return;
      fill(
        result,
        h(
          'p',
          { class: 'muted small' },
          f === t
            ? `Revision ${number.format(list[t].mod)}`
            : `From revision ${number.format(list[f].mod)} (−) to ${number.format(list[t].mod)} (+)`,
        ),
        f === t ? valueView(b, bestForm(b)) : diffView(a, b),
        me.readOnly || list[f].deleted || f === t || f < t
          ? null
          : h(
              'div',
              { class: 'buttons' },
              h(
                'button',
                { type: 'button', class: 'small', onclick: () => restore(f, a) },
                `Restore revision ${number.format(list[f].mod)}…`,
              ),
            ),
      );
    } catch (err) {
      if (err.name !== 'AbortError') fill(result, failure(err, compare));
    }
  }

  // restore writes an old value again, if the key is still as shown.
  async function restore(i, old) {
    let wrong = '';
    try {
      const now = await get('key', { key }, signal);
      const text = now.exists
        ? 'The key keeps its lease. From what it is now (−) to what it will be (+):'
        : 'The key is not there now; it is created anew, without a lease:';
      const sure = await confirm(
        `Restore revision ${number.format(list[i].mod)}?`,
        h('div', {}, h('p', {}, text), diffView(fromB64(now.value), old)),
        'Restore it',
      );
      if (!sure) return;
      await put('key', { key, value: toB64(old), mod: now.exists ? now.mod : 0 });
      toast('Restored.');
    } catch (err) {
      if (err.name === 'AbortError') return;
      wrong = err.code === 'conflict' ? `Somebody else changed the key meanwhile; nothing was restored.${err.by ? ` Latest change through this console: ${err.by}.` : ''}` : err.message;
    }
    await revisions(root, key, signal);
    if (wrong) root.append(failure(new Error(wrong)));
  }
}
