// Leases: time left and attached keys.
import { h, fill, table, row, bar, seconds, number, failure } from '../js/dom.js';
import { get } from '../js/api.js';
import { fromB64, toURL, show } from '../js/bytes.js';
import { list } from '../js/keyboard.js';

const columns = [{ name: 'Lease' }, { name: 'Left', class: 'num' }, { name: 'Of' }, { name: 'Keys' }];
const again = 3000;

export function mount(page) {
  let data = null;
  let read = 0;
  let busy = false;
  const filter = h('input', { type: 'search', placeholder: 'Filter by id or key', 'aria-label': 'Filter', data: { search: '' }, value: page.params.get('id') || '', oninput: draw });
  const body = h('div', { class: 'panel' }, h('p', { class: 'wait' }, 'Loading…'));
  fill(page.root, h('div', { class: 'head' }, h('h1', {}, 'Leases'), h('div', { class: 'grow', style: { 'max-width': '320px' } }, filter)), body);
  list(body, 'tr[tabindex]');
  page.every(again, load);
  page.every(1000, times);
  load();

  async function load() {
    if (busy) return;
    busy = true;
    try {
      data = await get('leases', {}, page.signal);
      read = Date.now();
      draw();
    } catch (err) {
      if (err.name !== 'AbortError') fill(body, failure(err, load));
    }
    busy = false;
  }

  function draw() {
    if (!data) return;
    const words = filter.value.toLowerCase();
    const focus = document.activeElement?.closest?.('[data-id]')?.dataset.id;
    const named = data.leases.map((l) => ({ ...l, bytes: (l.keys || []).map(fromB64) })).filter((l) => !words || l.id.includes(words) || l.bytes.some((b) => show(b).textContent.toLowerCase().includes(words)));
    fill(body, table(`${number.format(data.total)} ${data.total === 1 ? 'lease' : 'leases'}${data.total > data.leases.length ? `, the ${number.format(data.leases.length)} that end first are shown` : ''}`, columns, named.map((l) => {
      const left = h('span', { data: { left: l.ttl, of: l.granted } });
      const share = h('span', { data: { share: '' } });
      return row(columns, [h('code', {}, l.id), left, share, h('span', {}, l.bytes.map((b, i) => h('div', {}, h('a', { class: 'mono', href: `#/keys?key=${toURL(l.keys[i])}` }, show(b)))),
        l.keyCount > l.bytes.length ? h('span', { class: 'muted' }, `and ${number.format(l.keyCount - l.bytes.length)} more`) : null, l.keyCount ? null : h('span', { class: 'muted' }, 'none'))], { tabindex: 0, data: { id: l.id } });
    })), named.length ? null : h('p', { class: 'empty' }, data.total ? 'Nothing matches.' : 'There are no leases.'));
    times();
    if (focus) [...body.querySelectorAll('[data-id]')].find((el) => el.dataset.id === focus)?.focus();
  }

  function times() {
    const passed = Math.floor((Date.now() - read) / 1000);
    for (const el of body.querySelectorAll('[data-left]')) {
      const n = Math.max(0, el.dataset.left - passed);
      const of = Number(el.dataset.of);
      el.textContent = seconds(n);
      fill(el.closest('tr').querySelector('[data-share]'), `${seconds(of)} `, bar(n, of, `${n} of ${of} s`, n < of / 3 ? 'warn' : ''));
    }
  }
}
