// Deleting: a preview is shown, and only the keys in it are deleted.
import { h, number, toast, begin } from './dom.js';
import { post } from './api.js';
import { fromB64, toB64, show, read, equal } from './bytes.js';
import { dialog } from './dialog.js';
import { save } from './transfer.js';

const many = 100; // more keys are saved to a file first

function keysOf(list, count) {
  return [
    h(
      'ol',
      { class: 'keylist', tabindex: 0, 'aria-label': 'Keys' },
      list.map((k) => h('li', {}, show(fromB64(k.key)))),
    ),
    count > list.length ? h('p', { class: 'muted' }, `and ${number.format(count - list.length)} more`) : null,
  ];
}

async function remove(title, target, body, p, first = async () => {}) {
  let gone = 0;
  const choice = await dialog(title, body, [
    { value: '', text: 'Cancel' },
    {
      value: 'yes',
      text:
        p.count === 1 ? 'Delete it' : `${p.count > many ? 'Save and delete' : 'Delete'} ${number.format(p.count)} keys`,
      kind: 'danger',
      check: async () => {
        await first();
        try {
          gone = (await post('delete', { ...target, revision: p.revision, count: p.count })).deleted;
        } catch (err) {
          if (err.code !== 'conflict') throw err;
          await dialog(
            'The keys have changed',
            h(
              'div',
              {},
              h('p', {}, `${begin(err.message)}.`),
              err.detail.deleted ? h('p', {}, `${number.format(err.detail.deleted)} keys were deleted before.`) : null,
              err.detail.changed?.length
                ? [
                    h('p', {}, 'Changed or new since the preview:'),
                    keysOf(err.detail.changed, err.detail.changed.length),
                  ]
                : null,
            ),
            [{ value: '', text: 'Close' }],
          );
          throw new Error('Close this and look again.');
        }
      },
    },
  ]);
  if (choice) toast(`Deleted ${number.format(gone)} ${gone === 1 ? 'key' : 'keys'}.`);
  return choice !== '';
}

// removeKey asks, and deletes one key if it is still as shown.
export function removeKey(key, seen) {
  return remove(
    'Delete this key?',
    { key, prefix: false },
    h(
      'div',
      {},
      keysOf([{ key }], 1),
      h(
        'p',
        { class: 'muted' },
        `As of its revision ${number.format(seen.mod)}; if somebody changes it before, nothing is deleted.`,
      ),
    ),
    { count: 1, revision: seen.mod },
  );
}

// removePrefix asks, and deletes all keys under a prefix (bytes).
export async function removePrefix(prefix) {
  if (!prefix.length) {
    toast('Give a prefix first: the console does not delete all keys at once.');
    return;
  }
  const target = { key: toB64(prefix), prefix: true };
  let p;
  try {
    p = await post('delete/preview', target);
  } catch (err) {
    toast(err.message);
    return;
  }
  if (!p.count) {
    toast('There are no such keys.');
    return;
  }
  const typed = h('input', { spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off' });
  const said = h('p', { class: 'muted small', role: 'status' });
  let saved = false;
  const first = async () => {
    if (p.count <= many || saved) return;
    if (!equal(read(typed.value), prefix)) throw new Error('That is not the prefix.');
    target.typed = target.key;
    const n = await save(prefix, p.revision, (size) => {
      said.textContent = `${number.format(size)} bytes saved.`;
    });
    if (n !== p.count)
      throw new Error(
        `The file has ${number.format(n)} keys, not ${number.format(p.count)}. Close this and look again.`,
      );
    saved = true;
    said.textContent = 'They are saved.';
  };
  await remove(
    'Delete all keys of a prefix?',
    target,
    h(
      'div',
      {},
      h(
        'p',
        {},
        h('strong', {}, `${number.format(p.count)} ${p.count === 1 ? 'key' : 'keys'}`),
        ' begin with ',
        h('code', {}, show(prefix)),
        ` as of revision ${number.format(p.revision)}:`,
      ),
      keysOf(p.keys, p.count),
      h('p', { class: 'muted' }, 'If one of them changes or a new one comes before you confirm, nothing is deleted.'),
      p.count > many
        ? [
            h(
              'p',
              {},
              'They are saved to a file first. Import on this page puts those that had no lease back.',
            ),
            h('label', {}, 'Type the prefix', typed),
            said,
          ]
        : null,
    ),
    p,
    first,
  );
}
