// Leases: time left, purpose, attached keys; granting, renewing and revoking them.
import { h, fill, table, row, bar, seconds, number, failure, toast } from '../js/dom.js';
import { get, post, me } from '../js/api.js';
import { dialog, confirm } from '../js/dialog.js';
import { fromB64, toURL, show } from '../js/bytes.js';
import { list } from '../js/keyboard.js';

const columns = [
  { name: 'Lease' },
  { name: 'Left', class: 'num' },
  { name: 'Of' },
  { name: 'For' },
  { name: 'Keys' },
  { name: '', class: 'actions' },
];
const again = 3000;

export function mount(page) {
  let data = null;
  let read = 0;
  let busy = false;
  const filter = h('input', {
    type: 'search',
    placeholder: 'Filter by id or key',
    'aria-label': 'Filter',
    data: { search: '' },
    value: page.params.get('id') || '',
    oninput: draw,
  });
  const soon = h('input', { type: 'checkbox', onchange: draw });
  const body = h('div', { class: 'panel' }, h('p', { class: 'wait' }, 'Loading…'));
  fill(
    page.root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, 'Leases'),
      h('div', { class: 'grow', style: { 'max-width': '320px' } }, filter),
      h('label', { class: 'inline' }, soon, 'expiring soon'),
      me.readOnly ? null : h('button', { type: 'button', onclick: grant }, 'Grant a lease…'),
    ),
    body,
  );
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
    const button = document.activeElement?.tagName === 'BUTTON' ? document.activeElement.textContent : '';
    const named = data.leases
      .map((l) => ({ ...l, bytes: (l.keys || []).map(fromB64) }))
      .filter(
        (l) => !words || l.id.includes(words) || l.bytes.some((b) => show(b).textContent.toLowerCase().includes(words)),
      )
      .filter((l) => !soon.checked || l.ttl < l.granted / 3);
    fill(
      body,
      table(
        `${number.format(data.total)} ${data.total === 1 ? 'lease' : 'leases'}${data.total > data.leases.length ? `, the ${number.format(data.leases.length)} that end first are shown` : ''}`,
        columns,
        named.map((l) => {
          const left = h('span', { data: { left: l.ttl, of: l.granted } });
          const share = h('span', { data: { share: '' } });
          return row(
            columns,
            [
              h('code', {}, l.id),
              left,
              share,
              (l.owners || []).map((o) =>
                h('div', { class: 'small' }, `${o.kind} `, h('span', { class: 'mono' }, show(fromB64(o.name)))),
              ),
              h(
                'span',
                {},
                l.bytes.map((b, i) =>
                  h('div', {}, h('a', { class: 'mono', href: `#/keys?key=${toURL(l.keys[i])}` }, show(b))),
                ),
                l.keyCount > l.bytes.length
                  ? h('span', { class: 'muted' }, `and ${number.format(l.keyCount - l.bytes.length)} more`)
                  : null,
                l.keyCount ? null : h('span', { class: 'muted' }, 'none'),
              ),
              me.readOnly
                ? ''
                : [
                    h('button', { type: 'button', class: 'small', onclick: () => act(() => renew(l)) }, 'Keep alive'),
                    h(
                      'button',
                      { type: 'button', class: 'small danger', onclick: () => act(() => revoke(l)) },
                      'Revoke…',
                    ),
                  ],
            ],
            { tabindex: 0, data: { id: l.id } },
          );
        }),
      ),
      named.length ? null : h('p', { class: 'empty' }, data.total ? 'Nothing matches.' : 'There are no leases.'),
    );
    times();
    const again = focus && [...body.querySelectorAll('[data-id]')].find((el) => el.dataset.id === focus);
    if (again) ([...again.querySelectorAll('button')].find((x) => x.textContent === button) || again).focus();
  }

  function times() {
    const passed = Math.floor((Date.now() - read) / 1000);
    for (const el of body.querySelectorAll('[data-left]')) {
      const n = Math.max(0, el.dataset.left - passed);
      const of = Number(el.dataset.of);
      el.textContent = seconds(n);
      fill(
        el.closest('tr').querySelector('[data-share]'),
        `${seconds(of)} `,
        bar(n, of, `${n} of ${of} s`, n < of / 3 ? 'warn' : ''),
      );
    }
  }

  async function act(f) {
    try {
      await f();
    } catch (err) {
      if (err.name !== 'AbortError') toast(err.message);
    }
    load();
  }

  async function renew(l) {
    const r = await post('leases/keepalive', { id: l.id });
    toast(`It lasts ${seconds(r.ttl)} again.`);
  }

  async function revoke(l) {
    const ok = await confirm(
      'Revoke this lease?',
      h(
        'div',
        {},
        h(
          'p',
          {},
          'Lease ',
          h('code', {}, l.id),
          l.keyCount
            ? ` ends, and its ${l.keyCount === 1 ? 'key is' : `${number.format(l.keyCount)} keys are`} deleted:`
            : ' ends. It has no keys.',
        ),
        l.keyCount
          ? h(
              'ol',
              { class: 'keylist', tabindex: 0, 'aria-label': 'Keys' },
              l.bytes.map((b) => h('li', {}, show(b))),
            )
          : null,
        l.keyCount > l.bytes.length
          ? h('p', { class: 'muted' }, `and ${number.format(l.keyCount - l.bytes.length)} more`)
          : null,
        l.owners?.length ? h('p', { class: 'notice' }, 'The holder may go on working until it notices.') : null,
      ),
      'Revoke it',
      'danger',
    );
    if (!ok) return;
    await post('leases/revoke', { id: l.id, keys: l.keyCount });
    toast('Revoked.');
  }

  async function grant() {
    const ttl = h('input', { inputmode: 'numeric', value: '60', data: { focus: '' } });
    let made = null;
    const ok = await dialog(
      'Grant a lease',
      h(
        'div',
        {},
        h('p', {}, 'The lease ends after this time unless it is kept alive; its keys are deleted then.'),
        h('label', {}, 'Seconds', ttl),
      ),
      [
        { value: '', text: 'Cancel' },
        {
          value: 'yes',
          text: 'Grant it',
          kind: 'primary',
          check: async () => {
            if (!/^[1-9][0-9]{0,9}$/.test(ttl.value.trim()))
              throw new Error('The time is a number of seconds, at least 1.');
            made = await post('leases/grant', { ttl: Number(ttl.value.trim()) });
          },
        },
      ],
    );
    if (ok) {
      filter.value = made.id;
      toast(`Granted: ${made.id}`);
    }
    load();
  }
}
