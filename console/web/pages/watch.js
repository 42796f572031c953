// Events under a prefix as they happen. All are counted; the page shows the latest, and how many it
// left out.
import { h, fill, number, bytesText } from '../js/dom.js';
import { fromB64, toB64, fromURL, toURL, read, write, show, plain, decode } from '../js/bytes.js';
import { rate } from '../js/chart.js';

const shownMost = 200; // rows
const freshMost = 40; // rows while all that are shown are new: nobody reads them, and each costs time
const keptMost = 1000; // events that a filter searches
const columns = [
  { name: 'Arrived' },
  { name: 'Revision', class: 'num' },
  { name: 'What' },
  { name: 'Key' },
  { name: 'Value', class: 'v' },
  { name: 'Size', class: 'num' },
];

// arrival returns a time of day to the millisecond.
function arrival(t) {
  const at = new Date(t);
  return `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

export function mount(page) {
  let prefix = new Uint8Array(0);
  let watching = false;
  let paused = false;
  let kept = []; // the latest first
  let [total, left, puts, deletes] = [0, 0, 0, 0];
  let times = []; // [time, count] of the last seconds
  let dirty = false;
  let live = false;
  let drawn = null; // the latest event when the rows were drawn last

  const box = h('input', {
    type: 'search',
    placeholder: 'Everything',
    'aria-label': 'Prefix',
    data: { search: '' },
    spellcheck: 'false',
    autocapitalize: 'off',
  });
  const filter = h('input', {
    type: 'search',
    placeholder: 'Filter what is shown',
    'aria-label': 'Filter',
    spellcheck: 'false',
    oninput: touch,
  });
  const kind = h(
    'select',
    { 'aria-label': 'What to show', onchange: touch },
    [
      ['', 'All'],
      ['put', 'Puts'],
      ['delete', 'Deletes'],
    ].map(([v, t]) => h('option', { value: v }, t)),
  );
  const pause = h('button', { type: 'button', 'aria-pressed': 'false', onclick: toggle }, 'Pause');
  const counted = h('b', {}, '0');
  const dropped = h('b', {}, '0');
  const speed = h('b', {}, '0.0');
  const status = h('span', { role: 'status' });
  const note = h('div');
  const held = h('div', { role: 'status' }); // shows that the page is paused
  let missed = 0;
  const rows = h('tbody');
  fill(
    page.root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, 'Watch'),
      h(
        'form',
        {
          class: 'inline grow',
          style: { 'max-width': '420px' },
          onsubmit: (e) => {
            e.preventDefault();
            page.go('watch', { prefix: toURL(toB64(read(box.value))) });
          },
        },
        box,
        h('button', { class: 'primary' }, 'Watch'),
      ),
      pause,
      h('button', { type: 'button', onclick: clear }, 'Clear'),
    ),
    note,
    held,
    h(
      'div',
      { class: 'panel' },
      h('div', { class: 'toolbar' }, h('div', { class: 'grow' }, filter), kind),
      h(
        'div',
        { class: 'counts' },
        h('span', { id: 'counted' }, counted, ' events'),
        h('span', {}, speed, ' per second'),
        h('span', { id: 'dropped' }, dropped, ' not shown'),
        status,
      ),
      h(
        'div',
        { class: 'tablebox' },
        h(
          'table',
          { class: 'data events' },
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              columns.map((c) => h('th', { scope: 'col', class: c.class }, c.name)),
            ),
          ),
          rows,
        ),
      ),
    ),
  );
  page.keys([
    { key: 'p', text: 'pause and go on', run: toggle },
    { key: 'c', text: 'clear', run: clear },
  ]);
  page.on('watch', take);
  page.every(250, draw);
  const frame = setInterval(tick, 1000);
  page.signal.addEventListener('abort', () => clearInterval(frame));
  change(page.params);

  function change(params) {
    if (!params.has('prefix')) {
      watching = false;
      page.follow({});
      fill(
        rows,
        h(
          'tr',
          {},
          h(
            'td',
            { colspan: columns.length, class: 'empty' },
            'Give the beginning of the keys, or nothing for all, and watch.',
          ),
        ),
      );
      return;
    }
    prefix = fromB64(fromURL(params.get('prefix')));
    box.value = write(prefix);
    watching = true;
    live = false;
    clear();
    page.follow({ watch: [prefix] });
  }

  function take(batch) {
    if (toB64(prefix) !== toB64(fromB64(batch.prefix))) return;
    if (batch.error)
      fill(note, h('p', { class: 'notice' }, `The watch was interrupted: ${batch.error}. It will be tried again.`));
    else if (batch.gap)
      fill(
        note,
        h(
          'p',
          { class: 'notice' },
          'The cluster was compacted before some events came; they are missing, also in the count.',
        ),
      );
    else if (batch.live) fill(note);
    if (batch.live) {
      live = true;
      dirty = true;
    }
    if (batch.error) {
      live = false;
      dirty = true;
    }
    if (!batch.count) return;
    total += batch.count;
    left += batch.dropped;
    times.push([performance.now(), batch.count]);
    for (const c of batch.changes) c.type === 'put' ? puts++ : deletes++;
    if (!paused) {
      kept = batch.changes.reverse().concat(kept);
      if (kept.length > keptMost) {
        left += kept.length - keptMost;
        kept.length = keptMost;
      }
    } else left += batch.changes.length;
    if (paused) missed += batch.count;
    dirty = true;
  }

  function touch() {
    dirty = true;
    draw();
  }

  function tick() {
    const now = performance.now();
    times = times.filter(([t]) => now - t < 5000);
    const age = times.length ? Math.max(1000, now - times[0][0]) : 1000;
    speed.textContent = rate((times.reduce((n, [, c]) => n + c, 0) / age) * 1000);
  }

  // say shows the counts, and whether the page is paused.
  function say() {
    counted.textContent = number.format(total);
    dropped.textContent = number.format(left);
    if (!paused) fill(held);
    else
      fill(
        held,
        h(
          'p',
          { class: 'notice' },
          h('strong', {}, 'Paused. '),
          `${number.format(missed)} ${missed === 1 ? 'event has' : 'events have'} come since, counted but not shown.`,
        ),
      );
    status.textContent = paused ? 'Paused' : !watching ? '' : live ? 'Watching' : 'Beginning…';
  }

  // draw is called a few times a second, however many events come.
  function draw() {
    if (!dirty) return;
    dirty = false;
    say();
    const words = filter.value.toLowerCase();
    const list = [];
    let known = paused; // from here on events were there when the rows were drawn last
    for (const c of kept) {
      known ||= c === drawn;
      if (kind.value && c.type !== kind.value) continue;
      if (words && !text(c).includes(words)) continue;
      list.push(c);
      if (list.length < (known ? shownMost : freshMost)) continue;
      dirty = !known; // the others follow once fewer come
      break;
    }
    drawn = kept[0];
    const have = new Map([...rows.children].map((r) => [r.event, r]));
    place(list.map((c) => have.get(c) || line(c)));
    if (!list.length)
      fill(
        rows,
        h(
          'tr',
          {},
          h(
            'td',
            { colspan: columns.length, class: 'empty' },
            !kept.length ? (watching ? 'Nothing has happened yet.' : '') : 'No event that was kept matches.',
          ),
        ),
      );
  }

  // place makes nodes the rows, and leaves those alone that are.
  function place(nodes) {
    const stay = new Set(nodes);
    for (const r of [...rows.children]) if (!stay.has(r)) r.remove();
    let at = rows.firstChild;
    for (const n of nodes) {
      if (n === at) at = at.nextSibling;
      else rows.insertBefore(n, at);
    }
  }

  function text(c) {
    c.text ??=
      `${plain(fromB64(c.key))}\n${decode(fromB64(c.value)) ?? ''}\n${decode(fromB64(c.before || '')) ?? ''}`.toLowerCase();
    return c.text;
  }

  function line(c) {
    const value = fromB64(c.value);
    const before = c.was || c.before ? fromB64(c.before || '') : null;
    const tr = h(
      'tr',
      {},
      [
        h('span', { class: 'small', title: new Date(c.at).toString() }, arrival(c.at)),
        number.format(c.mod),
        c.type === 'delete'
          ? h('span', { class: 'tag bad' }, 'deleted')
          : c.created
            ? h('span', { class: 'tag ok' }, 'created')
            : h('span', { class: 'tag' }, 'changed'),
        h('a', { href: `#/keys?key=${toURL(c.key)}` }, show(fromB64(c.key))),
        [
          c.type === 'delete' ? null : h('div', {}, show(value.subarray(0, 200)), c.size > 200 ? '…' : ''),
          before
            ? h('div', { class: 'muted small before' }, 'was ', show(before.subarray(0, 200)), c.was > 200 ? '…' : '')
            : null,
        ],
        c.type === 'delete' ? '' : bytesText(c.size),
      ].map((cell, i) => h('td', { class: columns[i].class, data: { label: columns[i].name } }, cell)),
    );
    tr.event = c;
    return tr;
  }

  function toggle() {
    paused = !paused;
    missed = 0;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Go on' : 'Pause';
    dirty = true; // the rows follow, so that the button answers at once
    say();
  }

  function clear() {
    kept = [];
    times = [];
    total = left = puts = deletes = 0;
    touch();
  }
  return change;
}
