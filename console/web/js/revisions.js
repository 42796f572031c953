// The revisions of a key that are still there, and the difference between two.
import { h, fill, table, row, number, bytesText, failure } from './dom.js';
import { get } from './api.js';
import { fromB64 } from './bytes.js';
import { diffView } from './diff.js';
import { valueView, bestForm } from './value.js';

const columns = [{ name: 'From' }, { name: 'To' }, { name: 'Revision', class: 'num' }, { name: 'What' }, { name: 'Version', class: 'num' }, { name: 'Size', class: 'num' }, { name: 'Lease' }];

export async function revisions(root, key, signal) {
  fill(root, h('h2', { style: { 'margin-top': '1.2rem' } }, 'Revisions'), h('p', { class: 'wait' }, 'Reading what is still there…'));
  let all;
  try {
    all = await get('history', { key }, signal);
  } catch (err) {
    if (err.name !== 'AbortError') fill(root, failure(err, () => revisions(root, key, signal)));
    return;
  }
  const list = all.revisions;
  const result = h('div');
  const notes = [];
  if (all.dropped) notes.push(`The latest ${number.format(list.length)} are shown; ${number.format(all.dropped)} older ones are there too.`);
  if (!all.complete) notes.push('Time ran out before all were read.');
  if (all.compacted) notes.push(`The cluster was compacted at revision ${number.format(all.compacted)}; what was before is gone.`);
  if (!list.length) {
    fill(root, h('h2', {}, 'Revisions'), h('p', { class: 'empty' }, 'None is left.', ...notes));
    return;
  }
  let to = 0;
  let from = list.length > 1 ? 1 : 0;
  const pick = (name, i, on) => h('input', { type: 'radio', name, checked: on, 'aria-label': `${name === 'from' ? 'from' : 'to'} revision ${list[i].mod}`, onchange: () => { if (name === 'from') from = i; else to = i; compare(); } });
  fill(root, h('h2', { style: { 'margin-top': '1.2rem' } }, 'Revisions'), notes.map((n) => h('p', { class: 'muted small' }, n)),
    h('div', { class: 'scroll' }, table(`${number.format(list.length)} of this key`, columns, list.map((v, i) => row(columns, [
      pick('from', i, i === from), pick('to', i, i === to), number.format(v.mod), v.deleted ? h('span', { class: 'tag bad' }, 'deleted') : v.version === 1 ? h('span', { class: 'tag ok' }, 'created') : 'changed',
      v.deleted ? '' : number.format(v.version), v.deleted ? '' : bytesText(v.size), v.lease || '']))))
    , result);
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
      fill(result, h('p', { class: 'muted small' }, f === t ? `Revision ${number.format(list[t].mod)}` : `From revision ${number.format(list[f].mod)} (−) to ${number.format(list[t].mod)} (+)`),
        f === t ? valueView(b, bestForm(b)) : diffView(a, b));
    } catch (err) {
      if (err.name !== 'AbortError') fill(result, failure(err, compare));
    }
  }
}
