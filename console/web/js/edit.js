// Writing keys: only if they are still the same as shown. A value that another client wrote
// meanwhile is shown beside the user's own.
import { h, fill, number } from './dom.js';
import { put, post } from './api.js';
import { fromB64, toB64, decode, digits, unhex, json, read, write, encode, show } from './bytes.js';
import { diffView } from './diff.js';
import { dialog } from './dialog.js';

// field is a box for a value, as text if that keeps all bytes, otherwise in hex.
function field(bytes, label) {
  const area = h('textarea', { 'aria-label': label, spellcheck: 'false', data: { focus: '' } });
  let form;
  const say = h('span', { class: 'muted small', role: 'status' });
  const buttons = ['text', 'hex'].map((f) =>
    h('button', { type: 'button', class: 'small', onclick: () => change(f) }, f === 'text' ? 'Text' : 'Hex'),
  );
  set(bytes, 'text');

  // asText puts bytes into the box as text, if that keeps them: a box changes line ends, and cannot
  // hold bytes that are not UTF-8.
  function asText(b) {
    const text = decode(b);
    if (text === null || text.includes('\0')) return false;
    area.value = text;
    return area.value === text;
  }
  function set(b, f) {
    form = f === 'text' && asText(b) ? 'text' : 'hex';
    if (form === 'hex') area.value = digits(b);
    buttons.forEach((x, i) => x.setAttribute('aria-pressed', String((i === 0) === (form === 'text'))));
    say.textContent = f === 'text' && form === 'hex' ? 'The value is not text, so it cannot be edited as text.' : '';
  }
  const format = h('button', { type: 'button', class: 'small', onclick: layOut }, 'Format');
  // layOut checks JSON or YAML and formats it.
  async function layOut() {
    const b = get();
    const text = b === null || form === 'hex' ? null : decode(b);
    if (text === null) {
      say.textContent = 'Only text is formatted.';
      return;
    }
    let out = json(text);
    const kind = out === null ? 'YAML' : 'JSON';
    if (out === null) {
      try {
        out = decode(fromB64((await post('format', { value: toB64(b) })).value));
      } catch (err) {
        say.textContent = /^\s*[[{]/.test(text)
          ? `It is neither JSON nor YAML: ${err.message}`
          : `It is not formatted: ${err.message}`;
        return;
      }
    }
    area.value = out;
    say.textContent = `Formatted as ${kind}.`;
  }
  function get() {
    return form === 'text' ? encode(area.value) : unhex(area.value);
  }
  function change(f) {
    const b = get();
    if (b === null) say.textContent = 'These are not pairs of hexadecimal digits.';
    else set(b, f);
  }
  return {
    area,
    tools: h(
      'div',
      { class: 'toolbar' },
      h('span', { class: 'segments', role: 'group', 'aria-label': 'Edit as' }, buttons),
      format,
      say,
    ),
    get,
    set,
  };
}

// isYAML reports whether bytes are a mapping or a list in YAML, as far as the server checks that.
async function isYAML(bytes) {
  const text = bytes.length > 1 << 20 ? null : decode(bytes);
  if (text === null || !/^\s*[^\s:]+:(\s|$)|^- /m.test(text)) return false;
  return post('format', { value: toB64(bytes) }).then(
    () => true,
    (err) => err.code !== 'bad_request',
  );
}

// editor replaces the content of an element with a box for the key's value, until done(saved) is
// called.
export function editor(root, key, seen, done) {
  const before = fromB64(seen.value);
  const wasJSON = seen.exists && json(decode(before)) !== null;
  const wasYAML = seen.exists && !wasJSON ? isYAML(before) : Promise.resolve(false);
  let mod = seen.exists ? seen.mod : 0;
  const f = field(before, 'Value');
  const news = h('p', { class: 'notice', role: 'status', hidden: true });
  const say = h('p', { class: 'say', role: 'alert' });
  const save = h('button', { type: 'button', class: 'primary', onclick: store }, 'Save');
  fill(
    root,
    news,
    f.tools,
    f.area,
    say,
    h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => done(false) }, 'Cancel'), save),
  );
  f.area.addEventListener('keydown', (e) => {
    if ((e.ctrlKey || e.metaKey) && (e.key === 's' || e.key === 'Enter')) {
      e.preventDefault();
      store();
    }
  });
  f.area.focus();

  async function store() {
    const value = f.get();
    if (value === null) {
      say.textContent = 'These are not pairs of hexadecimal digits.';
      return;
    }
    if (wasJSON && json(decode(value)) === null && say.dataset.warned !== '1') {
      say.dataset.warned = '1';
      say.textContent = 'The value was JSON and is not any more. Save again if that is meant.';
      return;
    }
    save.disabled = true;
    try {
      if (say.dataset.warned !== '1' && (await wasYAML) && !(await isYAML(value))) {
        say.dataset.warned = '1';
        say.textContent = 'The value was YAML and is not any more. Save again if that is meant.';
        return;
      }
      say.textContent = '';
      await put('key', { key, value: toB64(value), mod });
      done(true);
    } catch (err) {
      if (err.code === 'conflict') await settle(value, err.detail, err.by);
      else say.textContent = err.message;
    } finally {
      save.disabled = false;
    }
  }

  // settle shows both values; after any choice, nothing is written until the user presses Save
  // again.
  async function settle(mine, theirs, by) {
    const choice = await dialog(
      'The key was changed meanwhile',
      h(
        'div',
        {},
        h(
          'p',
          {},
          theirs.exists
            ? `Somebody else wrote it at revision ${number.format(theirs.mod)}; you edited ${mod ? `revision ${number.format(mod)}` : 'a new key'}. `
            : 'Somebody else deleted it. ',
          'Nothing of yours was written.',
          by ? [' Latest change through this console: ', show(encode(by)), '.'] : null,
        ),
        h('p', { class: 'muted small' }, 'Theirs (−) and yours (+):'),
        diffView(fromB64(theirs.value), mine),
      ),
      [
        { value: 'mine', text: 'Go on editing mine, against theirs' },
        { value: 'theirs', text: 'Take theirs' },
        { value: '', text: 'Cancel' },
      ],
      { class: 'wide' },
    );
    if (choice === '') return;
    mod = theirs.exists ? theirs.mod : 0;
    if (choice === 'theirs') {
      done(false);
      return;
    }
    news.hidden = false;
    news.textContent = theirs.exists
      ? `Save now replaces revision ${number.format(theirs.mod)}.`
      : 'Save now creates the key anew.';
    f.area.focus();
  }

  return {
    // changed passes on a new state of the key while the user edits it.
    changed(now) {
      const is = now.exists ? now.mod : 0;
      if (is === mod) return;
      news.hidden = false;
      news.textContent = now.exists
        ? `Somebody else has written the key at revision ${number.format(now.mod)}. Saving will show both and write nothing.`
        : 'Somebody else has deleted the key. Saving will ask first.';
    },
  };
}

// newKey asks for a key and its value, and returns the key (base64) once it was created, else ''.
export async function newKey(prefix) {
  const name = h('input', { value: write(prefix), spellcheck: 'false', autocapitalize: 'off', data: { focus: '' } });
  const f = field(new Uint8Array(0), 'Value');
  const ttl = h('input', { inputmode: 'numeric', placeholder: 'none' });
  const lease = h('input', { spellcheck: 'false', autocapitalize: 'off', placeholder: 'none' });
  delete f.area.dataset.focus;
  let key = '';
  const done = await dialog(
    'New key',
    h(
      'div',
      {},
      h('label', {}, 'Key (\\n, \\xNN and \\\\ for bytes that cannot be typed)', name),
      h('p'),
      f.tools,
      f.area,
      h(
        'div',
        { class: 'inline' },
        h('label', {}, 'Seconds of a lease of its own', ttl),
        h('label', {}, 'or the id of a lease', lease),
      ),
      h(
        'p',
        { class: 'muted small' },
        'With a lease the key is deleted when the lease ends. A new lease ends unless it is kept alive, say on ' +
          'the page Leases.',
      ),
    ),
    [
      { value: '', text: 'Cancel' },
      {
        value: 'yes',
        text: 'Create',
        kind: 'primary',
        check: async () => {
          const bytes = read(name.value);
          const value = f.get();
          if (!bytes.length) throw new Error('A key needs a name.');
          if (value === null) throw new Error('These are not pairs of hexadecimal digits.');
          const seconds = ttl.value.trim();
          if (seconds && !/^[1-9][0-9]{0,9}$/.test(seconds))
            throw new Error('A lease lasts a number of seconds, at least 1.');
          key = toB64(bytes);
          try {
            await put('key', { key, value: toB64(value), mod: 0, ttl: Number(seconds), lease: lease.value.trim() });
          } catch (err) {
            if (err.code === 'conflict') throw new Error('The key exists already; nothing was written.');
            throw err;
          }
        },
      },
    ],
    { class: 'wide' },
  );
  return done ? key : '';
}
