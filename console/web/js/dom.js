// Building the page. Text only ever becomes text nodes: nothing here can make markup of a string.

const svgNames = new Set(['svg', 'path', 'line', 'polyline', 'rect', 'circle', 'text', 'g', 'title']);

// h makes an element: h('button', {class: 'x', onclick: f, disabled: true}, 'text', node, [more]).
export function h(tag, props, ...children) {
  const svg = svgNames.has(tag) && tag !== 'title';
  const el = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name === 'data') for (const [k, v] of Object.entries(value)) el.dataset[k] = v;
    else if (name === 'style') for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
    else if (name === 'value' || name === 'checked' || name === 'selected') el[name] = value;
    else el.setAttribute(name, value === true ? '' : value);
  }
  add(el, children);
  return el;
}

function add(el, children) {
  for (const c of children) {
    if (c === undefined || c === null || c === false) continue;
    if (Array.isArray(c)) add(el, c);
    else el.append(c);
  }
}

export function fill(el, ...children) {
  el.replaceChildren();
  add(el, children);
  return el;
}

// setText changes a node only if its text differs, so that an unchanged text is not announced again
// and stays selected.
export function setText(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

export const number = new Intl.NumberFormat('en-US');

// begin writes a message of the server's as the beginning of a sentence.
export const begin = (s) => s.charAt(0).toUpperCase() + s.slice(1);

export function bytesText(n) {
  if (n < 1024) return `${n} B`;
  for (const unit of ['KiB', 'MiB', 'GiB']) {
    n /= 1024;
    if (n < 1024 || unit === 'GiB') return `${n < 10 ? n.toFixed(1) : Math.round(n)} ${unit}`;
  }
}

export function seconds(n) {
  if (n < 0) return 'gone';
  if (n < 120) return `${n} s`;
  if (n < 7200) return `${Math.round(n / 60)} min`;
  if (n < 172800) return `${Math.round(n / 3600)} h`;
  return `${Math.round(n / 86400)} d`;
}

let toastTimer;
export function toast(text) {
  const el = document.getElementById('toast');
  el.textContent = text;
  el.classList.add('on');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => el.classList.remove('on'), 4000);
}

// table makes a table whose cells carry their column's name, for narrow screens where each row
// becomes a card.
export function table(caption, columns, rows, props) {
  return h(
    'table',
    { class: 'data', ...props },
    h('caption', {}, caption),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        columns.map((c) => h('th', { scope: 'col', class: c.class }, c.name)),
      ),
    ),
    h('tbody', {}, rows),
  );
}

export function row(columns, cells, props) {
  return h(
    'tr',
    props,
    cells.map((cell, i) => h('td', { data: { label: columns[i].name }, class: columns[i].class }, cell)),
  );
}

// state returns a state in words with a mark whose form differs too.
export function state(kind, text) {
  return h(
    'span',
    { class: `state ${kind}` },
    h('span', { class: 'mark', 'aria-hidden': 'true' }, { ok: '●', warn: '▲', bad: '■', off: '○' }[kind]),
    text,
  );
}

// bar shows how much of a whole is used or left.
export function bar(part, whole, label, kind) {
  const share = whole > 0 ? Math.max(0, Math.min(1, part / whole)) : 0;
  const inner = h('span', { class: `part ${kind || ''}` });
  inner.style.width = `${(share * 100).toFixed(1)}%`;
  return h('span', { class: 'bar', role: 'img', 'aria-label': label, title: label }, inner);
}

export function failure(err, retry) {
  return h(
    'div',
    { class: 'failure', role: 'alert' },
    h('strong', {}, err.message || String(err)),
    err.members?.length
      ? h(
          'ul',
          {},
          err.members.map((m) =>
            h(
              'li',
              {},
              h('code', {}, m.endpoint),
              ` ${m.state} for ${seconds(m.seconds)}`,
              m.reason ? `: ${m.reason}` : '',
            ),
          ),
        )
      : null,
    retry ? h('button', { type: 'button', onclick: retry }, 'Try again') : null,
  );
}
