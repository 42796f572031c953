// Services and their instances.
import { h, fill, table, row, state, bar, seconds, number, failure, toast } from '../js/dom.js';
import { get, post, me } from '../js/api.js';
import { fromB64, toURL, show, encode } from '../js/bytes.js';
import { confirm } from '../js/dialog.js';
import { list } from '../js/keyboard.js';

const kinds = [['json', 'Fairlead'], ['raw', 'go-kit'], ['naming', 'etcd naming'], ['kratos', 'kratos'], ['gozero', 'go-zero']];
const columns = [{ name: 'Instance' }, { name: 'Address' }, { name: 'State' }, { name: 'Version' }, { name: 'Zone' }, { name: 'Weight', class: 'num' }, { name: 'Lease' }, { name: 'More' }, { name: '', class: 'actions' }];
const again = 5000; // lease times are asked for anew that often

export function mount(page) {
  let params = page.params;
  let data = null;
  let read = 0; // when
  let busy = false;
  let wanted = false;
  const format = h('select', { 'aria-label': 'Format', onchange: address }, kinds.map(([v, t]) => h('option', { value: v }, t)));
  const base = h('input', { placeholder: 'Base of the keys (usual)', 'aria-label': 'Base', spellcheck: 'false', autocapitalize: 'off', onchange: address });
  const filter = h('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter', data: { search: '' }, oninput: draw });
  const body = h('div');
  fill(page.root, h('div', { class: 'head' }, h('h1', {}, 'Services'), h('div', { class: 'grow', style: { 'max-width': '240px' } }, filter), format, h('div', { style: { width: '220px' } }, base)), body);
  list(body, 'tr[tabindex]');
  page.on('notice', load);
  page.every(again, load);
  page.every(1000, times);
  change(page.params);

  function address() {
    const q = {};
    if (format.value !== 'json') q.records = format.value;
    if (base.value) q.base = base.value;
    if (filter.value) q.q = filter.value;
    page.go('services', q);
  }

  function change(next) {
    params = next;
    format.value = params.get('records') || 'json';
    base.value = params.get('base') || '';
    filter.value = params.get('q') || '';
    data = null;
    fill(body, h('p', { class: 'wait' }, 'Loading…'));
    page.follow({});
    load();
  }

  function where() { return { records: format.value, base: params.get('base') || '' }; }

  async function load() {
    if (busy) { wanted = true; return; }
    busy = true;
    const asked = params;
    try {
      const got = await get('services', where(), page.signal);
      if (asked === params) {
        if (!data) page.follow({ notice: [encode(got.base), encode('/fairlead/control/')] });
        data = got;
        read = Date.now();
        draw();
      }
    } catch (err) {
      if (err.name !== 'AbortError' && asked === params) fill(body, failure(err, load));
    }
    busy = false;
    if (wanted || asked !== params) { wanted = false; load(); }
  }

  function matches(s, in_) {
    const words = filter.value.toLowerCase();
    return !words || JSON.stringify([s.name, in_.id, in_.addresses, in_.version, in_.zone, in_.tags, in_.metadata, in_.draining ? 'draining' : 'up']).toLowerCase().includes(words);
  }

  function draw() {
    if (!data) return;
    const focus = document.activeElement?.closest?.('[data-id]')?.dataset.id;
    const button = document.activeElement?.tagName === 'BUTTON' ? document.activeElement.textContent : '';
    const open = new Set([...body.querySelectorAll('details[open]')].map((d) => d.dataset.of));
    const parts = data.services.map((s) => [s, s.instances.filter((i) => matches(s, i))]).filter(([, l]) => l.length).map(([s, l]) => {
      const up = s.instances.filter((i) => !i.draining).length;
      return h('section', { class: 'panel', 'aria-label': s.name },
        h('div', { class: 'tablebox' }, table([h('span', {}, show(encode(s.name))), ' ', h('span', { class: 'muted small' }, `${number.format(up)} up${up < s.instances.length ? `, ${number.format(s.instances.length - up)} draining` : ''}`)], columns, l.map((i) => line(s, i)))));
    });
    fill(body,
      data.problems?.length ? h('details', { class: 'panel', data: { of: 'problems' } }, h('summary', {}, `${number.format(data.problems.length)} records make no sense`),
        h('ul', {}, data.problems.map((p) => h('li', {}, h('a', { class: 'mono', href: `#/keys?key=${toURL(p.key)}` }, show(fromB64(p.key))), ': ', p.error)))) : null,
      data.more ? h('p', { class: 'notice' }, 'There are more records than are shown.') : null,
      parts.length ? parts : h('p', { class: 'empty' }, data.services.length ? 'Nothing matches.' : ['No services are registered under ', h('code', {}, data.base), '.']));
    for (const d of body.querySelectorAll('details')) d.open = open.has(d.dataset.of);
    times();
    if (focus) {
      const r = [...body.querySelectorAll('[data-id]')].find((el) => el.dataset.id === focus);
      ([...(r?.querySelectorAll('button') || [])].find((b) => b.textContent === button) || r)?.focus();
    }
  }

  function line(s, i) {
    const id = `${s.name}\n${i.id}`;
    const left = h('span', { data: { lease: i.lease || '' } });
    left.instance = i;
    const more = Object.entries(i.metadata || {});
    return row(columns, [
      h('a', { href: `#/keys?key=${toURL(i.key)}`, class: 'mono' }, show(encode(i.id))),
      i.addresses.map((a) => h('div', { class: 'mono' }, show(encode(a)))),
      i.draining ? state('warn', 'draining') : state('ok', 'up'), i.version || '', i.zone || '', i.weight ? String(i.weight) : h('span', { class: 'muted' }, '10'), left,
      h('span', {}, (i.tags || []).map((t) => [h('span', { class: 'tag' }, show(encode(t))), ' ']), more.length ? h('details', { data: { of: id } }, h('summary', { class: 'small' }, `${more.length} metadata`), h('dl', { class: 'small' }, more.map(([k, v]) => [h('dt', { class: 'muted' }, show(encode(k))), h('dd', { class: 'mono' }, show(encode(v)))]))) : null),
      me.readOnly || format.value === 'gozero' ? '' : [
        i.override?.maintenance ? h('button', { type: 'button', class: 'small', onclick: () => act(s, i, 'undrain') }, 'Undrain…')
          : i.draining ? null : h('button', { type: 'button', class: 'small', onclick: () => act(s, i, 'drain') }, 'Drain…'),
        h('button', { type: 'button', class: 'small danger', onclick: () => act(s, i, 'remove') }, 'Remove…')],
    ], { tabindex: 0, data: { id } });
  }

  // times counts down between two readings.
  function times() {
    const passed = Math.floor((Date.now() - read) / 1000);
    for (const el of body.querySelectorAll('[data-lease]')) {
      const i = el.instance;
      if (!i.lease) { fill(el, 'none'); continue; }
      const n = i.ttl < 0 ? -1 : Math.max(0, i.ttl - passed);
      if (el.shown === n) continue;
      el.shown = n;
      fill(el, h('span', {}, seconds(n)), h('br'), i.granted ? bar(n, i.granted, `${n} of ${i.granted} s`, n < i.granted / 3 ? 'warn' : '') : null);
    }
  }

  async function act(s, i, what) {
    const name = h('strong', {}, `${s.name}/${i.id}`);
    const ok = what === 'drain'
      ? await confirm('Drain this instance?', h('p', {}, name, ' gets no new work from those who follow the service. It stays so, also over its restarts, until you take it back.'), 'Drain it')
      : what === 'undrain' ? await confirm('Take the drain back?', h('p', {}, name, ' gets new work again, unless it drains by itself.'), 'Undrain it')
      : await confirm('Remove this record?', h('p', {}, 'The record of ', name, ' is deleted. This is for what a crashed process left; one that lives puts its record back.'), 'Remove it', 'danger');
    if (!ok) return;
    try {
      await post(`services/${what}`, { ...where(), service: s.name, id: i.id });
      toast({ drain: 'It drains.', undrain: 'It gets work again.', remove: 'Removed.' }[what]);
    } catch (err) { toast(err.message); }
    load();
  }
  return change;
}
