// Keys: the tree on the left, one key on the right, which the address names.
import { h, fill, number } from '../js/dom.js';
import { get, me } from '../js/api.js';
import { fromB64, toB64, fromURL, toURL, read, write, encode, show, startsWith } from '../js/bytes.js';
import { makeTree } from '../js/tree.js';
import { keyPanel } from '../js/keypanel.js';
import { newKey } from '../js/edit.js';
import { removePrefix } from '../js/remove.js';
import { makeSearch } from '../js/search.js';
import { makeMarks } from '../js/marks.js';
import { exportKeys, importKeys } from '../js/transfer.js';

export function mount(page) {
  let params = page.params;
  let tree = null;
  let panel = null;
  let shape = '';
  let wanted = false; // whether the focus moves to the tree when it has been loaded
  let stop = new AbortController();
  page.signal.addEventListener('abort', () => {
    stop.abort();
    panel?.close();
  });

  const prefixBox = h('input', {
    type: 'search',
    data: { search: '' },
    placeholder: 'Keys that begin with…',
    'aria-label': 'Prefix',
    spellcheck: 'false',
    autocapitalize: 'off',
  });
  const separatorBox = h('input', {
    'aria-label': 'Separator',
    maxlength: 12,
    spellcheck: 'false',
    style: { width: '3.6rem' },
  });
  const findBox = h('input', {
    type: 'search',
    placeholder: 'Find…',
    'aria-label': 'Find in the keys below the prefix',
    spellcheck: 'false',
    autocapitalize: 'off',
  });
  const inValues = h('input', { type: 'checkbox' });
  const marks = makeMarks();
  const several = h(
    'button',
    {
      type: 'button',
      class: 'small',
      'aria-pressed': 'false',
      onclick: () => {
        marks.on = !marks.on;
        several.setAttribute('aria-pressed', String(marks.on));
        marks.clear();
        shape = '';
        update(params);
      },
    },
    'Mark several',
  );
  const count = h('span', { class: 'muted small', role: 'status' });
  const left = h('div');
  const right = h('div', { class: 'panel' });
  fill(
    page.root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, 'Keys'),
      h(
        'form',
        {
          class: 'inline grow',
          style: { 'max-width': '560px' },
          onsubmit: (e) => {
            e.preventDefault();
            wanted = true;
            search();
          },
        },
        prefixBox,
        h(
          'label',
          { class: 'inline', title: 'The separator between levels of the tree; empty for a plain list' },
          'Separator',
          separatorBox,
        ),
        h('button', {}, 'Show'),
      ),
      me.readOnly ? null : h('button', { type: 'button', onclick: create }, 'New key'),
    ),
    h(
      'div',
      { class: 'split' },
      h(
        'div',
        {},
        h(
          'div',
          { class: 'toolbar' },
          h('button', { type: 'button', class: 'small', onclick: counting }, 'Count'),
          me.readOnly
            ? null
            : h(
                'button',
                { type: 'button', class: 'small', onclick: () => removePrefix(prefix()) },
                'Delete all of these…',
              ),
          me.readOnly ? null : several,
          h('button', { type: 'button', class: 'small', onclick: () => exportKeys(prefix()) }, 'Export…'),
          me.readOnly ? null : h('button', { type: 'button', class: 'small', onclick: () => importKeys() }, 'Import…'),
          count,
        ),
        h(
          'form',
          {
            class: 'toolbar',
            role: 'search',
            onsubmit: (e) => {
              e.preventDefault();
              wanted = true;
              find();
            },
          },
          findBox,
          h('label', { class: 'inline' }, inValues, 'in values too'),
          h('button', { class: 'small' }, 'Find'),
        ),
        marks.el,
        left,
      ),
      right,
    ),
  );

  let timer;
  prefixBox.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(search, 350);
  });
  separatorBox.addEventListener('change', search);
  page.keys([
    { key: 'n', text: 'new key', run: create },
    { key: 'e', text: 'edit the key', run: () => panel?.edit() },
    { key: 'r', text: 'its revisions', run: () => panel?.revisions() },
  ]);
  page.on('notice', (batch) => {
    tree?.notice(batch);
    panel?.notice(batch);
  });
  update(params);

  function prefix() {
    return fromB64(fromURL(params.get('prefix')));
  }
  function separator() {
    return params.has('sep') ? read(params.get('sep')) : encode('/');
  }

  function find() {
    const before = location.hash;
    const text = read(findBox.value);
    address({ find: text.length ? toURL(toB64(text)) : null, values: text.length && inValues.checked ? '1' : null });
    if (wanted && location.hash === before) {
      wanted = false;
      tree.focus();
    }
  }

  // address returns the page's address with some parameters changed.
  function address(changes) {
    const q = new URLSearchParams(params);
    for (const [k, v] of Object.entries(changes))
      if (v === null) q.delete(k);
      else q.set(k, v);
    page.go('keys', q);
  }

  function search() {
    clearTimeout(timer);
    const sep = separatorBox.value;
    const before = location.hash;
    address({ prefix: toURL(toB64(read(prefixBox.value))) || null, sep: sep === '/' ? null : sep });
    if (wanted && location.hash === before) {
      wanted = false;
      tree.focus();
    }
  }

  function update(next) {
    params = next;
    const now = ['prefix', 'sep', 'find', 'values'].map((name) => params.get(name)).join(' ');
    if (now !== shape) {
      shape = now;
      stop.abort();
      stop = new AbortController();
      count.textContent = '';
      if (document.activeElement !== prefixBox) prefixBox.value = write(prefix());
      if (document.activeElement !== separatorBox) separatorBox.value = write(separator());
      const text = fromB64(fromURL(params.get('find')));
      if (document.activeElement !== findBox) findBox.value = write(text);
      inValues.checked = params.has('values');
      marks.clear();
      const shown = { prefix: prefix(), marks, signal: stop.signal, open: (key) => address({ key: toURL(key) }) };
      tree = text.length
        ? makeSearch({ ...shown, text, values: inValues.checked })
        : makeTree({ ...shown, separator: separator() });
      fill(left, tree.el);
    }
    if (wanted) tree.focus();
    wanted = false;
    const key = params.get('key') ? fromURL(params.get('key')) : '';
    if (panel?.key !== key) {
      panel?.close();
      panel = key ? keyPanel(right, key) : null;
      if (!key) fill(right, h('p', { class: 'empty' }, 'Choose a key to see its value and its revisions.'));
      tree.mark(key);
    }
    // The key may lie outside of the tree.
    const notice = [prefix()];
    if (key && !startsWith(fromB64(key), prefix())) notice.push(fromB64(key));
    page.follow({ notice });
  }

  async function counting() {
    count.textContent = 'Counting…';
    try {
      const c = await get('count', { prefix: toB64(prefix()) }, stop.signal);
      fill(
        count,
        `${number.format(c.count)} ${c.count === 1 ? 'key' : 'keys'}`,
        prefix().length ? [' begin with ', h('code', {}, show(prefix()))] : ' in all',
      );
    } catch (err) {
      if (err.name !== 'AbortError') count.textContent = err.message;
    }
  }

  async function create() {
    if (me.readOnly) return;
    const key = await newKey(prefix());
    if (key) address({ key: toURL(key) });
  }
  return update;
}
