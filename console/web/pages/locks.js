// Locks and elections: who has them, who waits.
import { h, fill, table, row, seconds, number, failure } from '../js/dom.js';
import { get } from '../js/api.js';
import { fromB64, toB64, fromURL, toURL, read, write, show } from '../js/bytes.js';
import { list } from '../js/keyboard.js';

const columns = [{ name: 'Turn' }, { name: 'Key' }, { name: 'Value' }, { name: 'Since revision', class: 'num' }, { name: 'Lease left', class: 'num' }];
const again = 3000;

export function mount(page) {
  let params = page.params;
  let busy = false;
  const box = h('input', { type: 'search', placeholder: 'Everywhere', 'aria-label': 'Prefix', data: { search: '' }, spellcheck: 'false', autocapitalize: 'off' });
  const body = h('div');
  fill(page.root, h('div', { class: 'head' }, h('h1', {}, 'Locks and elections'),
    h('form', { class: 'inline grow', style: { 'max-width': '420px' }, onsubmit: (e) => { e.preventDefault(); page.go('locks', box.value ? { prefix: toURL(toB64(read(box.value))) } : undefined); } }, box, h('button', {}, 'Show'))), body);
  list(body, 'tr[tabindex]');
  page.on('notice', load);
  page.every(again, load);
  change(params);

  function change(next) {
    params = next;
    const prefix = fromB64(fromURL(params.get('prefix')));
    box.value = write(prefix);
    page.follow(prefix.length ? { notice: [prefix] } : {});
    fill(body, h('p', { class: 'wait' }, 'Loading…'));
    load();
  }

  async function load() {
    if (busy) return;
    busy = true;
    const asked = params;
    try {
      const got = await get('locks', { prefix: params.get('prefix') }, page.signal);
      if (asked === params) draw(got);
    } catch (err) {
      if (err.name !== 'AbortError') fill(body, failure(err, load));
    }
    busy = false;
    if (asked !== params) load();
  }

  function draw(data) {
    const focus = document.activeElement?.closest?.('[data-id]')?.dataset.id;
    fill(body,
      data.partial ? h('p', { class: 'notice' }, 'There are more keys than were looked at; give a prefix.') : null,
      data.queues.map((q) => h('section', { class: 'panel' }, table([h('span', { class: 'mono' }, show(fromB64(q.name))), ' ', h('span', { class: 'muted small' }, q.recipe ? `${number.format(q.all.length)} in the order of a recipe` : q.all.length === 1 ? 'nobody waits' : `${number.format(q.all.length - 1)} ${q.all.length === 2 ? 'waits' : 'wait'}`)], columns,
        q.all.map((w, i) => row(columns, [
          q.recipe ? String(i + 1) : i ? String(i) : h('span', { class: 'tag ok' }, 'owner'), h('a', { class: 'mono', href: `#/keys?key=${toURL(w.key)}` }, show(fromB64(w.key))),
          w.size ? h('span', { class: 'mono' }, show(fromB64(w.value)), w.size > fromB64(w.value).length ? '…' : '') : '', number.format(w.create), seconds(w.ttl)], { tabindex: 0, data: { id: w.key } }))))),
      data.queues.length ? null : h('p', { class: 'empty' }, params.get('prefix') ? 'Nobody holds or waits for anything under this prefix.' : 'Nobody holds or waits for a lock.'),
      h('p', { class: 'muted small' }, 'Found by their form: keys that end in the id of their own lease, as concurrency, etcdctl lock and elect make them (the oldest owns), or in a time, as recipes make them for read-write locks, semaphores and barriers.'));
    if (focus) [...body.querySelectorAll('[data-id]')].find((el) => el.dataset.id === focus)?.focus();
  }
  return change;
}
