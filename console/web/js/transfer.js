// Keys to a file and back, in the format of `fairlead export`.
import { h, fill, number, toast } from './dom.js';
import { send, post, answerOf } from './api.js';
import { fromB64, toB64, show, read, write } from './bytes.js';
import { dialog } from './dialog.js';

// partBytes is how much of a file is sent at a time, so that the work on each part is short.
const partBytes = 2 << 20;

// save writes the keys of a prefix (bytes), as of a revision, to a file, and returns how many there
// are. It fails if the file is incomplete.
export async function save(prefix, revision, say = () => {}) {
  const r = await send('POST', 'export', { body: { prefix: toB64(prefix), revision } });
  if (!r.ok) await answerOf(r);
  const parts = [];
  const reader = r.body.getReader();
  let [size, tail] = [0, new Uint8Array(0)];
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error('The connection broke off; the file is not complete and was not saved.');
    });
    if (done) break;
    parts.push(value);
    size += value.length;
    tail = new Uint8Array([...tail.slice(-100), ...value.slice(-100)]);
    say(size);
  }
  const end = /\n\{"end":(\d+)\}\n$/.exec(new TextDecoder().decode(tail));
  if (!end) throw new Error('The file is not complete and was not saved.');
  const url = URL.createObjectURL(new Blob(parts, { type: 'application/x-ndjson' }));
  const name =
    write(prefix)
      .replace(/[^A-Za-z0-9.-]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 60) || 'all';
  const a = h('a', { href: url, download: `${name}-${revision || 'now'}.export.jsonl` });
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
  return Number(end[1]);
}

// exportKeys asks for a revision, and saves.
export async function exportKeys(prefix) {
  const rev = h('input', { inputmode: 'numeric', placeholder: 'as they are now', data: { focus: '' } });
  let n = 0;
  const ok = await dialog(
    'Export keys',
    h(
      'div',
      {},
      h(
        'p',
        {},
        'All keys',
        prefix.length ? [' that begin with ', h('code', {}, show(prefix))] : '',
        ' go to a file, with their values, in the format of ',
        h('code', {}, 'fairlead export'),
        ' writes.',
      ),
      h('label', {}, 'As of revision', rev),
    ),
    [
      { value: '', text: 'Cancel' },
      {
        value: 'yes',
        text: 'Save the file',
        kind: 'primary',
        check: async () => {
          const text = rev.value.trim();
          if (text && !/^[1-9][0-9]{0,17}$/.test(text)) throw new Error('A revision is a number of at least 1.');
          n = await save(prefix, Number(text || 0));
        },
      },
    ],
  );
  if (ok) toast(`Saved ${number.format(n)} ${n === 1 ? 'key' : 'keys'}.`);
}

// parts splits an export into files of their own, each with the first line and a last one.
async function* parts(file) {
  let head = '';
  let lines = [];
  let size = 0;
  let rest = '';
  let ended = false;
  let read = 0;
  const part = () => {
    const text = `${head}\n${lines.join('\n')}${lines.length ? '\n' : ''}{"end":${lines.length}}\n`;
    lines = [];
    size = 0;
    return text;
  };
  const take = (line) => {
    if (!line.trim()) return;
    if (!head) {
      head = line;
      return;
    }
    if (ended) throw new Error('Something follows the last line of the file.');
    const end = /^\{"end":(\d+)\}\s*$/.exec(line);
    if (end) {
      ended = true;
      if (Number(end[1]) !== read) throw new Error(`The file announces ${end[1]} keys and has ${read}.`);
      return;
    }
    read++;
    lines.push(line);
    size += line.length;
  };
  const reader = file
    .stream()
    .pipeThrough(new TextDecoderStream('utf-8', { fatal: true }))
    .getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error('The file is not text in UTF-8.');
    });
    if (done) break;
    const all = (rest + value).split('\n');
    rest = all.pop();
    for (const line of all) {
      take(line);
      if (size > partBytes) yield part();
    }
  }
  take(rest);
  if (!ended) throw new Error('The file ends without its last line: it was cut short, or is not an export.');
  yield part();
}

const add = (sum, p) => {
  for (const k of ['keys', 'added', 'changed', 'same', 'kept', 'conflicts', 'leased', 'leases'])
    sum[k] = (sum[k] || 0) + (p[k] || 0);
};

function names(list, label) {
  return h(
    'ol',
    { class: 'keylist', tabindex: 0, 'aria-label': label },
    list.map((k) => h('li', {}, show(fromB64(k)))),
  );
}

// importKeys asks for a file and options, shows the plan of the import, and carries it out.
export async function importKeys() {
  const file = h('input', { type: 'file', data: { focus: '' } });
  const absent = h('input', { type: 'checkbox', checked: true });
  const leases = h('input', { type: 'checkbox' });
  const move = h('input', { spellcheck: 'false', autocapitalize: 'off', placeholder: 'as in the file' });
  const said = h('p', { class: 'muted small', role: 'status' });
  let plans = [];
  let options = null;
  const ok = await dialog(
    'Import keys',
    h(
      'div',
      {},
      h('p', {}, 'From a file that ', h('code', {}, 'fairlead export'), ' or this page has written.'),
      h('label', {}, 'File', file),
      h('p'),
      h(
        'label',
        { class: 'inline' },
        absent,
        'only keys that are not there, and had no lease: to put back what was deleted',
      ),
      h('p'),
      h('label', { class: 'inline' }, leases, 'keys that had a lease get a new one, which nobody keeps alive yet'),
      h('p'),
      h('label', {}, 'Under another prefix', move),
      said,
    ),
    [
      { value: '', text: 'Cancel' },
      {
        value: 'yes',
        text: 'Show what it will do',
        check: async () => {
          if (!file.files.length) throw new Error('Choose a file.');
          options = {
            absent: absent.checked,
            leases: leases.checked && !absent.checked,
            to: move.value ? toB64(read(move.value)) : undefined,
          };
          plans = [];
          let n = 0;
          try {
            for await (const text of parts(file.files[0])) {
              const p = await post('import', { file: text, ...options });
              plans.push(p);
              n += p.keys;
              said.textContent = `${number.format(n)} keys compared.`;
            }
          } finally {
            said.textContent = '';
          }
        },
      },
    ],
    { class: 'wide' },
  );
  if (ok) await carryOut(file.files[0], options, plans);
}

async function carryOut(file, options, plans) {
  const sum = {};
  plans.forEach((p) => add(sum, p));
  const writes = plans.flatMap((p) => p.writes || []).slice(0, 100);
  const left = plans.flatMap((p) => p.leftOut || []).slice(0, 100);
  const n = sum.added + sum.changed;
  const count = (x, one, many) => h('li', {}, `${number.format(x)} ${x === 1 ? one : many}`);
  const said = h('p', { role: 'status' });
  const done = {};
  let failed = '';
  const ok = await dialog(
    'Write these keys?',
    h(
      'div',
      {},
      h(
        'ul',
        {},
        count(sum.added, 'key is added', 'keys are added'),
        count(sum.changed, 'key gets another value', 'keys get another value'),
        count(sum.same, 'is there already as it is in the file', 'are there already as they are in the file'),
        options.absent
          ? count(
              sum.kept,
              'is there with another value and is left alone',
              'are there with another value and are left alone',
            )
          : null,
        options.absent ? count(sum.leased, 'had a lease and is left out', 'had a lease and are left out') : null,
      ),
      writes.length
        ? [
            h('h3', {}, 'Written'),
            names(
              writes.map((w) => w.key),
              'Written',
            ),
          ]
        : null,
      n > writes.length ? h('p', { class: 'muted' }, `and ${number.format(n - writes.length)} more`) : null,
      left.length ? [h('h3', {}, 'Left out, since they had a lease'), names(left, 'Left out')] : null,
      sum.leased > left.length
        ? h('p', { class: 'muted' }, `and ${number.format(sum.leased - left.length)} more`)
        : null,
      h('p', { class: 'muted' }, 'About a hundred keys at a time. A key that somebody writes meanwhile is left alone.'),
      said,
    ),
    [
      { value: '', text: 'Cancel' },
      ...(n
        ? [
            {
              value: 'yes',
              text: `Write ${number.format(n)} ${n === 1 ? 'key' : 'keys'}`,
              kind: 'primary',
              check: async () => {
                let i = 0;
                try {
                  for await (const text of parts(file)) {
                    const p = plans[i++];
                    if (!p) throw new Error('The file has changed.');
                    add(
                      done,
                      p.added + p.changed ? await post('import', { file: text, ...options, seen: p.seen }) : {},
                    );
                    said.textContent = `${number.format((done.added || 0) + (done.changed || 0))} written.`;
                  }
                } catch (err) {
                  if (err.detail?.keys) add(done, err.detail);
                  failed = err.message;
                }
              },
            },
          ]
        : []),
    ],
    { class: 'wide' },
  );
  if (!ok) return;
  const text = `${number.format(done.added || 0)} added, ${number.format(done.changed || 0)} changed${done.conflicts ? `, ${number.format(done.conflicts)} left alone since somebody wrote them meanwhile` : ''}.`;
  if (failed)
    await dialog(
      'It ended early',
      h(
        'div',
        {},
        h('p', {}, failed),
        h('p', {}, text),
        h('p', { class: 'muted' }, 'The keys that were written stay. Import the file again to write the others.'),
      ),
      [{ value: '', text: 'Close' }],
    );
  else toast(text);
}
