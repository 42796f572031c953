// Deleting: what would go is shown, and only that goes.
import { h, number, toast } from './dom.js';
import { post } from './api.js';
import { fromB64, toB64, show } from './bytes.js';
import { dialog } from './dialog.js';

function keysOf(list, count) {
  return [h('ol', { class: 'keylist', tabindex: 0, 'aria-label': 'Keys' }, list.map((k) => h('li', {}, show(fromB64(k.key))))),
    count > list.length ? h('p', { class: 'muted' }, `and ${number.format(count - list.length)} more`) : null];
}

async function remove(title, target, body, p) {
  let gone = 0;
  const choice = await dialog(title, body, [{ value: '', text: 'Cancel' }, {
    value: 'yes', text: p.count === 1 ? 'Delete it' : `Delete ${number.format(p.count)} keys`, kind: 'danger', check: async () => {
      try {
        gone = (await post('delete', { ...target, revision: p.revision, count: p.count })).deleted;
      } catch (err) {
        if (err.code !== 'conflict') throw err;
        await dialog('It is not as it was shown', h('div', {}, h('p', {}, `${err.message[0].toUpperCase()}${err.message.slice(1)}.`),
          err.detail.deleted ? h('p', {}, `${number.format(err.detail.deleted)} keys were deleted before.`) : null,
          err.detail.changed?.length ? [h('p', {}, 'Changed or new since the preview:'), keysOf(err.detail.changed, err.detail.changed.length)] : null), [{ value: '', text: 'Close' }]);
        throw new Error('Close this and look again.');
      }
    },
  }]);
  if (choice) toast(`Deleted ${number.format(gone)} ${gone === 1 ? 'key' : 'keys'}.`);
  return choice !== '';
}

// removeKey asks and deletes one key as it was seen.
export function removeKey(key, seen) {
  return remove('Delete this key?', { key, prefix: false }, h('div', {}, keysOf([{ key }], 1), h('p', { class: 'muted' }, `As of its revision ${number.format(seen.mod)}; if somebody changes it before, nothing is deleted.`)),
    { count: 1, revision: seen.mod });
}

// removePrefix asks and deletes all keys under a prefix (bytes).
export async function removePrefix(prefix) {
  if (!prefix.length) { toast('Give a prefix first: all keys at once are not deleted from here.'); return; }
  const target = { key: toB64(prefix), prefix: true };
  let p;
  try { p = await post('delete/preview', target); } catch (err) { toast(err.message); return; }
  if (!p.count) { toast('There are no such keys.'); return; }
  await remove('Delete all keys of a prefix?', target, h('div', {},
    h('p', {}, h('strong', {}, `${number.format(p.count)} ${p.count === 1 ? 'key' : 'keys'}`), ' begin with ', h('code', {}, show(prefix)), ` as of revision ${number.format(p.revision)}:`),
    keysOf(p.keys, p.count), h('p', { class: 'muted' }, 'If one of them changes or a new one comes before you confirm, nothing is deleted.')), p);
}
