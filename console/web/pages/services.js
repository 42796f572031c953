// Services and their instances, and with an id in the address one instance.
import { h, fill, table, row, state, bar, seconds, number, failure, toast } from '../js/dom.js';
import { get, post, me } from '../js/api.js';
import { fromB64, toURL, show, encode } from '../js/bytes.js';
import { confirm } from '../js/dialog.js';
import { list } from '../js/keyboard.js';
import { brief } from '../js/value.js';
import * as controls from '../js/controls.js';
import { instancePage } from '../js/instance.js';

const kinds = [
  ['json', 'Fairlead'],
  ['raw', 'go-kit'],
  ['naming', 'etcd naming'],
  ['kratos', 'kratos'],
  ['gozero', 'go-zero'],
];
const columns = [
  { name: 'Instance' },
  { name: 'Address' },
  { name: 'State' },
  { name: 'Version' },
  { name: 'Zone' },
  { name: 'Weight', class: 'num' },
  { name: 'Calls', class: 'num' },
  { name: 'Last seen' },
  { name: 'More' },
  { name: '', class: 'actions' },
];
const text = (s) => brief(s);
const again = 5000; // how often lease times are read again

export function mount(page) {
  let params = page.params;
  let data = null;
  let read = 0; // when the services were read
  let busy = false;
  let wanted = false;
  let one = null; // the page of one instance
  const format = h(
    'select',
    { 'aria-label': 'Format', onchange: address },
    kinds.map(([v, t]) => h('option', { value: v }, t)),
  );
  const base = h('input', {
    placeholder: 'Base of the keys (usual)',
    'aria-label': 'Base',
    spellcheck: 'false',
    autocapitalize: 'off',
    onchange: address,
  });
  const filter = h('input', {
    type: 'search',
    placeholder: 'Filter',
    'aria-label': 'Filter',
    data: { search: '' },
    oninput: draw,
  });
  const body = h('div');
  fill(
    page.root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, 'Services'),
      h('div', { class: 'grow', style: { 'max-width': '240px' } }, filter),
      format,
      h('div', { style: { width: '220px' } }, base),
    ),
    body,
  );
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
    one = params.get('id')
      ? instancePage(
          page,
          buttons,
          `#/services?${new URLSearchParams([...params].filter(([k]) => k !== 'id' && k !== 'service'))}`,
        )
      : null;
    data = null;
    fill(body, h('p', { class: 'wait' }, 'Loading…'));
    page.follow({});
    load();
  }

  function where() {
    return { records: format.value, base: params.get('base') || '' };
  }

  async function load() {
    if (busy) {
      wanted = true;
      return;
    }
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
    if (wanted || asked !== params) {
      wanted = false;
      load();
    }
  }

  function matches(s, in_) {
    const words = filter.value.toLowerCase();
    return (
      !words ||
      JSON.stringify([
        s.name,
        in_.id,
        in_.addresses,
        in_.version,
        in_.zone,
        in_.tags,
        in_.metadata,
        in_.draining ? 'draining' : 'up',
      ])
        .toLowerCase()
        .includes(words)
    );
  }

  function draw() {
    if (!data) return;
    if (one) {
      if (!body.contains(one.el)) fill(body, one.el);
      times();
      return;
    }
    const focus = document.activeElement?.closest?.('[data-id]')?.dataset.id;
    const button = document.activeElement?.tagName === 'BUTTON' ? document.activeElement.textContent : '';
    const open = new Set([...body.querySelectorAll('details[open]')].map((d) => d.dataset.of));
    const parts = data.services
      .map((s) => [s, s.instances.filter((i) => matches(s, i))])
      .filter(([, l]) => l.length)
      .map(([s, l]) => {
        const up = s.instances.filter((i) => !i.draining).length;
        return h(
          'section',
          { class: 'panel', 'aria-label': s.name },
          h(
            'div',
            { class: 'tablebox' },
            table(
              [
                h('span', {}, text(s.name)),
                ' ',
                h(
                  'span',
                  { class: 'muted small' },
                  `${number.format(up)} up${up < s.instances.length ? `, ${number.format(s.instances.length - up)} draining` : ''}`,
                ),
              ],
              columns,
              l.map((i) => line(s, i)),
            ),
          ),
          said(s),
        );
      });
    const lost = data.services.length
      ? null
      : h('p', { class: 'empty' }, 'No services are registered under ', h('code', {}, data.base), '.');
    fill(
      body,
      data.problems?.length
        ? h(
            'details',
            { class: 'panel', data: { of: 'problems' } },
            h('summary', {}, `${number.format(data.problems.length)} records are invalid`),
            h(
              'ul',
              {},
              data.problems.map((p) =>
                h(
                  'li',
                  {},
                  h('a', { class: 'mono', href: `#/keys?key=${toURL(p.key)}` }, show(fromB64(p.key))),
                  ': ',
                  p.error,
                ),
              ),
            ),
          )
        : null,
      data.more ? h('p', { class: 'notice' }, 'There are more records than are shown.') : null,
      data.unknown
        ? h(
            'p',
            { class: 'notice' },
            'This user may not read what operators set for services. It is not shown, and the shares of the ' +
              'calls do not take it into account.',
          )
        : null,
      parts.length ? parts : lost || h('p', { class: 'empty' }, 'Nothing matches.'),
    );
    for (const d of body.querySelectorAll('details')) d.open = open.has(d.dataset.of);
    times();
    if (focus) {
      const r = [...body.querySelectorAll('[data-id]')].find((el) => el.dataset.id === focus);
      ([...(r?.querySelectorAll('button') || [])].find((b) => b.textContent === button) || r)?.focus();
    }
  }

  // said shows the overrides of a service: the split of its calls, and those of absent instances.
  function said(s) {
    const button = (label, f) =>
      h('button', { type: 'button', class: 'small', data: { of: s.name }, onclick: () => act(f) }, label);
    return h(
      'div',
      { class: 'said', data: { id: `${s.name}\nsaid` }, tabindex: -1 },
      s.parts?.length ? h('div', { class: 'tablebox' }, controls.partTable(s.parts, 'Its calls are split')) : null,
      (s.absent || []).map((o) =>
        h(
          'p',
          { class: 'small' },
          h('code', {}, text(o.id)),
          ' is not there; operators set ',
          overrides(o).join(', '),
          '. ',
          me.readOnly ? null : button('Take it back…', () => controls.forget(where(), s, o.id)),
        ),
      ),
      me.readOnly
        ? null
        : h(
            'div',
            { class: 'toolbar' },
            button('Split its calls…', () => controls.split(where(), s)),
          ),
    );
  }

  function overrides(o) {
    return [o.maintenance ? 'draining' : '', o.weight ? `weight ${o.weight}` : ''].filter(Boolean);
  }

  function line(s, i) {
    const id = `${s.name}\n${i.id}`;
    const seen = h('span', { data: { lease: i.lease || '' } });
    seen.instance = i;
    const more = Object.entries(i.metadata || {});
    const q = new URLSearchParams(params);
    q.set('service', s.name);
    q.set('id', i.id);
    return row(
      columns,
      [
        h('a', { href: `#/services?${q}`, class: 'mono' }, text(i.id)),
        i.addresses.map((a) => h('div', { class: 'mono' }, text(a))),
        [
          i.draining ? state('warn', 'draining') : state('ok', 'up'),
          i.override?.maintenance ? h('div', { class: 'small muted' }, 'by operators') : null,
        ],
        text(i.version || ''),
        text(i.zone || ''),
        [
          i.weight ? String(i.weight) : h('span', { class: 'muted' }, '10'),
          i.override?.weight ? h('div', { class: 'small muted' }, `its own: ${i.own.weight}`) : null,
        ],
        controls.percent(i.share),
        seen,
        h(
          'span',
          {},
          (i.tags || []).map((t) => [h('span', { class: 'tag' }, text(t)), ' ']),
          more.length
            ? h(
                'details',
                { data: { of: id } },
                h('summary', { class: 'small' }, `${more.length} metadata`),
                h(
                  'dl',
                  { class: 'small' },
                  more.map(([k, v]) => [h('dt', { class: 'muted' }, text(k)), h('dd', { class: 'mono' }, text(v))]),
                ),
              )
            : null,
        ),
        me.readOnly ? '' : buttons(s, i),
      ],
      { tabindex: 0, data: { id } },
    );
  }

  // buttons returns the actions on an instance.
  function buttons(s, i) {
    const button = (label, f, kind) =>
      h('button', { type: 'button', class: `small ${kind || ''}`, onclick: () => act(f) }, label);
    return [
      i.override?.maintenance
        ? button('Undrain…', () => controls.undrain(where(), s, i))
        : i.draining
          ? null
          : button('Drain…', () => controls.drain(where(), s, i)),
      button('Weight…', () => controls.weight(where(), s, i)),
      format.value === 'gozero' ? null : button('Remove…', () => remove(s, i), 'danger'),
    ];
  }

  // times counts down between two reads.
  function times() {
    const passed = Math.floor((Date.now() - read) / 1000);
    if (one && data) {
      const s = data.services.find((x) => x.name === params.get('service')) || {
        name: params.get('service'),
        instances: [],
      };
      one.draw(
        s,
        params.get('id'),
        s.instances.find((x) => x.id === params.get('id')),
        passed,
      );
    }
    for (const el of body.querySelectorAll('[data-lease]')) {
      const i = el.instance;
      if (!i.lease) {
        fill(el, 'no lease');
        continue;
      }
      const n = i.ttl < 0 ? -1 : Math.max(0, i.ttl - passed);
      if (el.shown === n) continue;
      el.shown = n;
      fill(
        el,
        h('span', {}, n < 0 ? 'gone' : `${seconds(Math.max(0, i.granted - n))} ago`),
        h('br'),
        i.granted
          ? bar(n, i.granted, `its lease ends in ${n} of ${i.granted} s`, n < i.granted / 3 ? 'warn' : '')
          : null,
      );
    }
  }

  // act runs an action that asks first.
  async function act(f) {
    try {
      await f();
    } catch (err) {
      toast(err.message);
    }
    load();
  }

  async function remove(s, i) {
    const ok = await confirm(
      'Remove this record?',
      h(
        'p',
        {},
        'The record of ',
        h('strong', {}, text(`${s.name}/${i.id}`)),
        ' is deleted. Use this for a record that a crashed process left; a process that lives puts its record back.',
      ),
      'Remove it',
      'danger',
    );
    if (!ok) return;
    await post('services/remove', { ...where(), service: s.name, id: i.id });
    toast('Removed.');
  }
  return change;
}
