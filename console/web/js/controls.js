// Operators' overrides of a service and its instances: the effect of a change is shown first, and
// the change is made only if the state has not changed since.
import { h, number, table, row, state, toast, begin } from './dom.js';
import { post } from './api.js';
import { plain, encode } from './bytes.js';
import { dialog } from './dialog.js';
import { brief } from './value.js';

const text = (s) => brief(s || '');
export const percent = (n) => `${Math.round(n * 10) / 10} %`;
const shownMost = 50;

const ask = (proposal) => post('services/prospect', proposal);

// propose shows the effect of a change on a service, and makes it if the user confirms. It returns
// whether it was made. A caller that has the prospect already passes it.
async function propose(title, proposal, lead, action, prospect) {
  const p = prospect || (await ask(proposal));
  const ok = await dialog(
    title,
    h(
      'div',
      {},
      lead,
      (p.warnings || []).map((w) => h('p', { class: 'notice' }, text(w))),
      effects(p),
    ),
    [
      { value: '', text: 'Cancel' },
      {
        value: 'yes',
        text: action,
        kind: 'primary',
        check: async () => {
          try {
            await post('services/control', { ...proposal, seen: p.seen });
          } catch (err) {
            if (err.code !== 'conflict') throw err;
            const now = plain(encode(err.detail || 'as without it'));
            throw new Error(`${begin(err.message)}. It is ${now} now. Close this and look again.`);
          }
        },
      },
    ],
    { class: 'wide' },
  );
  return ok !== '';
}

const effectColumns = [
  { name: 'Instance' },
  { name: 'State then' },
  { name: 'Weight now', class: 'num' },
  { name: 'Weight then', class: 'num' },
  { name: 'Calls now', class: 'num' },
  { name: 'Calls then', class: 'num' },
];
const partColumns = [
  { name: 'Part' },
  { name: 'Asked for', class: 'num' },
  { name: 'Gets', class: 'num' },
  { name: 'Instances that take it', class: 'num' },
];

// partTable returns the parts of a split as a table.
export function partTable(parts, caption) {
  return table(
    caption,
    partColumns,
    parts.map((p) =>
      row(partColumns, [
        h('code', {}, text(p.filter)),
        percent(p.percent),
        percent(p.share),
        number.format(p.instances),
      ]),
    ),
  );
}

function effects({ before, after }) {
  const list = after.instances.slice(0, shownMost);
  return [
    after.parts?.length ? h('div', { class: 'scroll' }, partTable(after.parts, 'The split then')) : null,
    list.length
      ? h(
          'div',
          { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Instances' },
          table(
            'What callers do that follow weights',
            effectColumns,
            list.map((i, n) => {
              const was = before.instances[n];
              return row(effectColumns, [
                h('code', {}, text(i.id)),
                i.draining ? state('warn', 'draining') : state('ok', 'up'),
                String(was.weight || 10),
                String(i.weight || 10),
                percent(was.share),
                h('b', {}, percent(i.share)),
              ]);
            }),
          ),
        )
      : h('p', { class: 'muted' }, 'There is no instance now; this applies to those that come.'),
    after.instances.length > list.length
      ? h('p', { class: 'muted' }, `and ${number.format(after.instances.length - list.length)} more`)
      : null,
  ];
}

const nameOf = (s, id) => h('strong', {}, text(`${s.name}/${id}`));
const holds = 'This stays in force when it restarts, until it is changed again.';

export async function drain(where, s, i) {
  const ok = await propose(
    'Drain this instance?',
    { ...where, service: s.name, id: i.id, drain: true },
    h(
      'p',
      {},
      nameOf(s, i.id),
      ' gets no new work from followers of the service. This stays in force when it restarts, until you take it back.',
    ),
    'Drain it',
  );
  if (ok) toast('It drains.');
  return ok;
}

export async function undrain(where, s, i) {
  const ok = await propose(
    'Take the drain back?',
    { ...where, service: s.name, id: i.id, drain: false },
    h('p', {}, nameOf(s, i.id), ' gets new work again, unless it drains by itself.'),
    'Undrain it',
  );
  if (ok) toast('It gets work again.');
  return ok;
}

// forget removes all overrides of an instance, which need not be registered.
export async function forget(where, s, id) {
  const ok = await propose(
    'Remove what operators set for it?',
    { ...where, service: s.name, id, drain: false, weight: 0 },
    h('p', {}, nameOf(s, id), ' then has only what it says of itself.'),
    'Take it back',
  );
  if (ok) toast('Taken back.');
  return ok;
}

export async function weight(where, s, i) {
  const own = i.own ? i.own.weight : i.weight || 10;
  const box = h('input', { inputmode: 'numeric', value: String(i.weight || 10), data: { focus: '' } });
  let proposal;
  let prospect;
  const look = async (n) => {
    proposal = { ...where, service: s.name, id: i.id, weight: n };
    prospect = await ask(proposal);
  };
  const choice = await dialog(
    'Change the weight',
    h(
      'div',
      {},
      h(
        'p',
        {},
        nameOf(s, i.id),
        ` has the weight ${i.weight || 10}; its own is ${own}. It gets calls in proportion to its weight.`,
      ),
      h('label', {}, 'Weight, 1 to 1000000', box),
    ),
    [
      { value: '', text: 'Cancel' },
      ...(i.override?.weight ? [{ value: 'own', text: 'Its own', check: () => look(0) }] : []),
      {
        value: 'yes',
        text: 'Show what it will do',
        check: () => {
          if (!/^[1-9][0-9]{0,6}$/.test(box.value.trim())) throw new Error('A weight is a number of at least 1.');
          return look(Number(box.value.trim()));
        },
      },
    ],
  );
  if (!choice) return false;
  const ok = await propose(
    proposal.weight ? `Give it the weight ${proposal.weight}?` : 'Give it its own weight?',
    proposal,
    h('p', {}, nameOf(s, i.id), `. ${holds}`),
    'Change it',
    prospect,
  );
  if (ok) toast('Its weight is changed.');
  return ok;
}

// split asks for the new split of a service's calls.
export async function split(where, s) {
  const versions = [...new Set(s.instances.map((i) => i.version).filter(Boolean))].sort();
  const rows = h('div', { role: 'group', 'aria-label': 'Parts' });
  const sum = h('p', { class: 'muted', role: 'status' });
  const boxes = () =>
    [...rows.children]
      .map((r) => [...r.querySelectorAll('input')].map((b) => b.value.trim()))
      .filter(([f, p]) => f || p);
  const add = (filter, part) => {
    const line = h(
      'div',
      { class: 'inline part' },
      h('input', {
        'aria-label': 'Which instances',
        value: filter,
        placeholder: 'v2, tag=canary, meta.team=shop',
        spellcheck: 'false',
        autocapitalize: 'off',
      }),
      h('input', {
        'aria-label': 'Percent',
        inputmode: 'decimal',
        value: part,
        style: { width: '6rem' },
        oninput: total,
      }),
      '%',
      h(
        'button',
        {
          type: 'button',
          class: 'small',
          onclick: () => {
            line.remove();
            total();
          },
        },
        'Remove part',
      ),
    );
    rows.append(line);
    total();
    return line;
  };
  function total() {
    const all = boxes();
    const n = all.reduce((t, [, p]) => t + (Number(p) || 0), 0);
    sum.textContent = all.length
      ? `${Math.round(n * 1000) / 1000} % in all${Math.abs(n - 100) > 0.001 ? ', not 100' : ''}`
      : 'No parts: calls go to all instances.';
  }
  const now = s.parts || [];
  if (now.length) now.forEach((p) => add(p.filter, String(p.percent)));
  else versions.slice(0, 8).forEach((v, i) => add(/[,=]/.test(v) ? `version=${v}` : v, String(i ? 0 : 100)));
  if (!rows.children.length) add('', '');
  rows.querySelector('input').dataset.focus = '';
  let words;
  let prospect;
  const look = async (list) => {
    words = list;
    prospect = await ask({ ...where, service: s.name, split: words });
  };
  const ok = await dialog(
    'Split the calls',
    h(
      'div',
      {},
      h(
        'p',
        {},
        'All callers of ',
        h('strong', {}, text(s.name)),
        ' that use Fairlead follow a change at once. Instances that are in no part get no calls.',
      ),
      rows,
      h(
        'p',
        {},
        h(
          'button',
          { type: 'button', class: 'small', onclick: () => add('', '').querySelector('input').focus() },
          'Add a part',
        ),
      ),
      sum,
    ),
    [
      { value: '', text: 'Cancel' },
      ...(now.length ? [{ value: 'none', text: 'Do not split', check: () => look([]) }] : []),
      { value: 'yes', text: 'Show what it will do', check: () => look(boxes().map(([f, p]) => `${f}=${p}`)) },
    ],
    { class: 'wide' },
  );
  if (!ok) return false;
  const done = await propose(
    words.length ? 'Split the calls like this?' : 'Stop splitting the calls?',
    { ...where, service: s.name, split: words },
    h(
      'p',
      {},
      words.length ? 'It lasts until it is changed again.' : 'Calls go to all instances, as their weights say.',
    ),
    words.length ? 'Split them' : 'Do it',
    prospect,
  );
  if (done) toast(words.length ? 'The calls are split.' : 'The calls are not split any more.');
  return done;
}
