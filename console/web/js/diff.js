// The difference of two values, line by line: JSON formatted, text unchanged, anything else as a
// hex dump.
import { h } from './dom.js';
import { decode, json, hex, show, encode, equal } from './bytes.js';

const context = 3; // unchanged lines around changes
const linesMost = 20000;
const shownFirst = 1000; // lines; thousands would make each click wait for seconds
const editsMost = 800; // beyond that two texts have little in common and are shown one after the other

function linesOf(a, b) {
  const [ta, tb] = [decode(a), decode(b)];
  if (ta === null || tb === null) return [hex(a, 0, 512 << 10), hex(b, 0, 512 << 10)];
  const [ja, jb] = [json(ta), json(tb)];
  const tell = (t) => /^\s*[[{]/.test(t);
  if ((ja !== null || !a.length) && (jb !== null || !b.length) && (tell(ta) || tell(tb))) {
    if (ja !== jb) return [ja || '', jb || '']; // otherwise only their format differs
  }
  return [ta, tb];
}

// diff returns [kind, text] for each line: ' ', '-' or '+'.
export function diff(a, b) {
  const out = [];
  let from = 0;
  let [ea, eb] = [a.length, b.length];
  while (from < ea && from < eb && a[from] === b[from]) from++;
  while (ea > from && eb > from && a[ea - 1] === b[eb - 1]) {
    ea--;
    eb--;
  }
  for (let i = 0; i < from; i++) out.push([' ', a[i]]);
  for (const line of middle(a.slice(from, ea), b.slice(from, eb))) out.push(line);
  for (let i = ea; i < a.length; i++) out.push([' ', a[i]]);
  return out;
}

// middle finds a shortest edit script (Myers, "An O(ND) Difference Algorithm and Its Variations",
// 1986). It keeps the end points of each round to walk back.
function middle(a, b) {
  const [n, m] = [a.length, b.length];
  const replace = () => [...a.map((x) => ['-', x]), ...b.map((x) => ['+', x])];
  if (!n || !m) return replace();
  const most = Math.min(n + m, editsMost);
  const reach = new Int32Array(2 * most + 2);
  const trace = [];
  for (let d = 0; d <= most; d++) {
    for (let k = -d; k <= d; k += 2) {
      const at = k + most;
      let x = k === -d || (k !== d && reach[at - 1] < reach[at + 1]) ? reach[at + 1] : reach[at - 1] + 1;
      let y = x - k;
      while (x < n && y < m && a[x] === b[y]) {
        x++;
        y++;
      }
      reach[at] = x;
      if (x >= n && y >= m) {
        trace.push(reach.slice(most - d, most + d + 1));
        return walk(a, b, trace);
      }
    }
    trace.push(reach.slice(most - d, most + d + 1));
  }
  return replace();
}

function walk(a, b, trace) {
  const out = [];
  let [x, y] = [a.length, b.length];
  for (let d = trace.length - 1; d > 0; d--) {
    const k = x - y;
    const before = (j) => (Math.abs(j) <= d - 1 ? trace[d - 1][j + d - 1] : -1); // of diagonal j
    const down = k === -d || (k !== d && before(k - 1) < before(k + 1));
    const px = before(down ? k + 1 : k - 1);
    const py = px - (down ? k + 1 : k - 1);
    while (down ? x > px : y > py) {
      x--;
      y--;
      out.push([' ', a[x]]);
    }
    if (down) out.push(['+', b[--y]]);
    else out.push(['-', a[--x]]);
  }
  while (x > 0 && y > 0) {
    x--;
    y--;
    out.push([' ', a[x]]);
  }
  return out.reverse();
}

export function diffView(a, b) {
  if (equal(a, b)) return h('p', { class: 'empty' }, 'Both are the same.');
  const [ta, tb] = linesOf(a, b);
  const [la, lb] = [ta.split('\n'), tb.split('\n')];
  if (la.length + lb.length > linesMost) {
    return h('p', { class: 'notice' }, 'The values are too long to be compared here.');
  }
  const lines = diff(la, lb);
  const keep = lines.map(() => false);
  lines.forEach(([kind], i) => {
    if (kind !== ' ')
      for (let j = Math.max(0, i - context); j <= Math.min(lines.length - 1, i + context); j++) keep[j] = true;
  });
  const box = h('div', { class: 'diff', tabindex: 0, role: 'region', 'aria-label': 'Difference' });
  let [na, nb, hidden] = [0, 0, 0];
  const rows = []; // functions that make the rows
  const gap = () => {
    const n = hidden;
    if (n) rows.push(() => h('div', { class: 'gap' }, `${n} equal ${n === 1 ? 'line' : 'lines'}`));
    hidden = 0;
  };
  lines.forEach(([kind, text], i) => {
    if (kind !== '+') na++;
    if (kind !== '-') nb++;
    if (!keep[i]) {
      hidden++;
      return;
    }
    gap();
    const [left, right] = [kind === '+' ? '' : na, kind === '-' ? '' : nb];
    rows.push(() =>
      h(
        'div',
        { class: { '+': 'add', '-': 'del', ' ': '' }[kind] },
        h('span', { class: 'n' }, left),
        h('span', { class: 'n' }, right),
        h('span', { class: 'sign' }, { '+': '+', '-': '−', ' ': ' ' }[kind]),
        h('span', {}, show(encode(text.slice(0, 20000)), true)),
      ),
    );
  });
  gap();
  box.append(...rows.slice(0, shownFirst).map((f) => f()));
  const rest = rows.slice(shownFirst);
  if (!rest.length) return box;
  const all = h(
    'button',
    {
      type: 'button',
      class: 'small',
      onclick: () => {
        all.remove();
        box.append(...rest.map((f) => f()));
        box.focus();
      },
    },
    `Show ${rest.length} more lines`,
  );
  return h('div', {}, box, all);
}
