// Locks and elections: owners and waiters.
import { h, fill, table, row, seconds, number, failure, toast } from '../js/dom.js';
import { get, post, me } from '../js/api.js';
import { confirm } from '../js/dialog.js';
import { fromB64, toB64, fromURL, toURL, read, write, show } from '../js/bytes.js';
import { list } from '../js/keyboard.js';

const columns = [
  { name: 'Turn' },
  { name: 'Key' },
  { name: 'Value' },
  { name: 'Since revision', class: 'num' },
  { name: 'Lease left', class: 'num' },
  { name: '', class: 'actions' },
];
const again = 3000;

export function mount(page) {
  let params = page.params;
  let busy = false;
  const box = h('input', {
    type: 'search',
    placeholder: 'Everywhere',
    'aria-label': 'Prefix',
    data: { search: '' },
    spellcheck: 'false',
    autocapitalize: 'off',
  });
  const body = h('div');
  fill(
    page.root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, 'Locks and elections'),
      h(
        'form',
        {
          class: 'inline grow',
          style: { 'max-width': '420px' },
          onsubmit: (e) => {
            e.preventDefault();
            page.go('locks', box.value ? { prefix: toURL(toB64(read(box.value))) } : undefined);
          },
        },
        box,
        h('button', {}, 'Show'),
      ),
    ),
    body,
  );
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
    const button = document.activeElement?.tagName === 'BUTTON';
    fill(
      body,
      data.partial
        ? h('p', { class: 'notice' }, 'There are more keys than the console has read; give a prefix.')
        : null,
      data.queues.map((q) =>
        h(
          'section',
          { class: 'panel' },
          table(
            [
              h('span', { class: 'mono' }, show(fromB64(q.name))),
              ' ',
              h(
                'span',
                { class: 'muted small' },
                q.recipe
                  ? `${number.format(q.all.length)} in the order of a recipe`
                  : q.all.length === 1
                    ? 'nobody waits'
                    : `${number.format(q.all.length - 1)} ${q.all.length === 2 ? 'waits' : 'wait'}`,
                held(q),
              ),
            ],
            columns,
            q.all.map((w, i) =>
              row(
                columns,
                [
                  q.recipe ? String(i + 1) : i ? String(i) : h('span', { class: 'tag ok' }, 'owner'),
                  h('a', { class: 'mono', href: `#/keys?key=${toURL(w.key)}` }, show(fromB64(w.key))),
                  w.size
                    ? h('span', { class: 'mono' }, show(fromB64(w.value)), w.size > fromB64(w.value).length ? '…' : '')
                    : '',
                  number.format(w.create),
                  seconds(w.ttl),
                  me.readOnly
                    ? ''
                    : h(
                        'button',
                        { type: 'button', class: 'small danger', onclick: () => release(q, w, !q.recipe && i === 0) },
                        i || q.recipe ? 'Remove…' : 'Release…',
                      ),
                ],
                { tabindex: 0, data: { id: w.key } },
              ),
            ),
          ),
        ),
      ),
      data.queues.length
        ? null
        : h(
            'p',
            { class: 'empty' },
            params.get('prefix')
              ? 'Nobody holds or waits for anything under this prefix.'
              : 'Nobody holds or waits for a lock.',
          ),
      h(
        'p',
        { class: 'muted small' },
        'Recognized by the form of their keys: these end in the id of their lease, as those of concurrency, ' +
          'etcdctl lock and elect do (the oldest owns), or in a time, as those of the recipes for read-write ' +
          'locks, semaphores and barriers do.',
      ),
    );
    const again = focus && [...body.querySelectorAll('[data-id]')].find((el) => el.dataset.id === focus);
    if (again) ((button && again.querySelector('button')) || again).focus();
  }
  // held returns since when a queue's owner has owned it, as far as it was observed.
  function held(q) {
    if (!q.since) return '';
    const at = new Date(q.since);
    const day = at.toDateString() === new Date().toDateString() ? '' : `${at.toISOString().slice(0, 10)} `;
    return `; held since ${day}${at.toTimeString().slice(0, 8)}${q.earlier ? ' or earlier' : ''}${q.handovers ? `, ${number.format(q.handovers)} ${q.handovers === 1 ? 'hand-over' : 'hand-overs'} seen` : ''}`;
  }

  async function release(q, w, owner) {
    const next = owner && q.all.length > 1;
    const ok = await confirm(
      owner ? 'Release this by force?' : 'Remove this from the queue?',
      h(
        'div',
        {},
        h(
          'p',
          {},
          h('code', {}, show(fromB64(w.key))),
          ` is deleted if it is still the key created at revision ${number.format(w.create)}.`,
        ),
        h(
          'p',
          { class: 'notice' },
          owner
            ? `The holder may go on working: it notices only if it watches its key.${next ? ' The next in line begins at once, so that two may work at a time.' : ''}`
            : 'The process that waits with it may wait for ever, or come again.',
        ),
      ),
      owner ? 'Release it' : 'Remove it',
      'danger',
    );
    if (!ok) return;
    try {
      await post('locks/release', { key: w.key, create: w.create });
      toast(owner ? 'Released.' : 'Removed.');
    } catch (err) {
      toast(err.message);
    }
    load();
  }
  return change;
}
