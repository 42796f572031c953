// Operations on the cluster: the plan is shown first, and the progress while it runs.
import { h, fill, toast } from './dom.js';
import { post, send, answerOf } from './api.js';
import { show, encode } from './bytes.js';
import { dialog } from './dialog.js';
import { samples } from './stream.js';
import { lines } from './ndjson.js';

const text = (s) => show(encode(s || ''));
const words = { running: 'running…', done: 'done', failed: 'failed' };

// panel returns the buttons.
export function panel() {
  const button = (label, f) =>
    h('button', { type: 'button', onclick: () => f().catch((err) => toast(err.message)) }, label);
  return h(
    'section',
    { class: 'panel operations', 'aria-label': 'Operations' },
    h('h2', {}, 'Operations'),
    h(
      'div',
      { class: 'toolbar' },
      button('Compact…', compact),
      button('Defragment…', () => operate({ action: 'defragment' }, 'Defragment them')),
      button('Disarm alarms…', () => operate({ action: 'disarm' }, 'Disarm them')),
      button('Move leader…', moveLeader),
      button('Add member…', add),
      button('Promote learner…', () =>
        withMember(
          'Promote a learner',
          'Learner',
          (m) => m.learner,
          (member) => operate({ action: 'member-promote', member }, 'Promote it'),
        ),
      ),
      button('Remove member…', () =>
        withMember(
          'Remove a member',
          'Member',
          () => true,
          (member) => operate({ action: 'member-remove', member }, 'Remove it'),
        ),
      ),
      button('Download a snapshot…', snapshot),
    ),
  );
}

// mends starts the operation that a finding offers.
export function mends({ action, member }) {
  switch (action) {
    case 'compact':
      return compact();
    case 'defragment':
      return operate({ action }, 'Defragment them');
    case 'disarm':
      return operate({ action }, 'Disarm them');
    case 'move-leader':
      return moveLeader();
    default:
      return operate({ action: 'member-remove', member }, 'Remove it');
  }
}

const moveLeader = () =>
  withMember(
    'Move the leadership',
    'To',
    (m) => m.up && !m.leader && !m.learner,
    (member) => operate({ action: 'move-leader', member }, 'Move it'),
  );

const last = () => samples[samples.length - 1] || { members: [] };

async function compact() {
  const rev = h('input', { inputmode: 'numeric', value: String(last().revision || ''), data: { focus: '' } });
  const ok = await dialog('Compact the history', h('label', {}, 'Remove the history before revision', rev), [
    { value: '', text: 'Cancel' },
    {
      value: 'yes',
      text: 'Show what it will do',
      check: () => {
        if (!/^[1-9][0-9]{0,17}$/.test(rev.value.trim())) throw new Error('A revision is a number of at least 1.');
      },
    },
  ]);
  if (ok) await operate({ action: 'compact', revision: Number(rev.value.trim()) }, 'Compact it');
}

async function withMember(title, label, may, then) {
  const list = last().members.filter((m) => m.id && may(m));
  if (!list.length) {
    toast('No member can take this.');
    return;
  }
  const choice = h(
    'select',
    { data: { focus: '' } },
    list.map((m) => h('option', { value: m.id }, text(`${m.name || m.id} ${m.endpoint}`))),
  );
  if (
    await dialog(title, h('label', {}, label, choice), [
      { value: '', text: 'Cancel' },
      { value: 'yes', text: 'Show what it will do' },
    ])
  )
    await then(choice.value);
}

async function add() {
  const url = h('input', {
    placeholder: 'https://10.0.0.4:2380',
    spellcheck: 'false',
    autocapitalize: 'off',
    data: { focus: '' },
  });
  const learner = h('input', { type: 'checkbox', checked: true });
  const ok = await dialog(
    'Add a member',
    h(
      'div',
      {},
      h('label', {}, 'Its peer URLs: where the other members reach it, separated by spaces', url),
      h('p'),
      h('label', { class: 'inline' }, learner, 'as a learner, without a vote until it is promoted'),
    ),
    [
      { value: '', text: 'Cancel' },
      { value: 'yes', text: 'Show what it will do' },
    ],
  );
  if (ok)
    await operate(
      { action: 'member-add', urls: url.value.split(/\s+/).filter(Boolean), learner: learner.checked },
      'Add it',
    );
}

async function snapshot() {
  const { ticket } = await post('snapshot', {});
  const ok = await dialog(
    'Download a snapshot?',
    h(
      'div',
      {},
      h(
        'p',
        {},
        'The file has all keys, users and leases of the cluster, secret ones too: protect it as you protect the ' +
          'cluster.',
      ),
      h(
        'p',
        { class: 'muted' },
        'The member that sends it reads its whole database. If the download breaks, the browser reports an ' +
          'error; it never saves a shorter file.',
      ),
    ),
    [
      { value: '', text: 'Cancel' },
      { value: 'yes', text: 'Download it', kind: 'primary' },
    ],
  );
  if (!ok) return;
  const a = h('a', { href: `api/snapshot?ticket=${encodeURIComponent(ticket)}`, download: '' });
  document.body.append(a);
  a.click();
  a.remove();
}

// operate shows a plan and, if the user confirms, carries it out.
async function operate(operation, action) {
  const plan = await post('operations/plan', operation);
  const ok = await dialog(
    plan.title,
    h(
      'div',
      {},
      plan.effects.map((e) => h('p', {}, text(e))),
      (plan.warnings || []).map((w) => h('p', { class: 'notice' }, text(w))),
      h(
        'ol',
        {},
        plan.steps.map((s) => h('li', {}, text(s))),
      ),
    ),
    [
      { value: '', text: 'Cancel' },
      { value: 'yes', text: action, kind: 'danger' },
    ],
  );
  if (ok) await run(plan);
}

async function run(plan) {
  const stop = new AbortController();
  const states = plan.steps.map(() => h('span', { class: 'muted' }, 'not begun'));
  const result = h('p', { role: 'status' }, 'Running.');
  const body = h(
    'div',
    {},
    h(
      'ol',
      { class: 'steps' },
      plan.steps.map((s, i) => h('li', {}, text(s), h('br'), states[i])),
    ),
    result,
  );
  const closed = dialog(plan.title.replace('?', ''), body, [{ value: '', text: 'Stop before the next step' }]).then(
    () => stop.abort(),
  );
  let ended = null;
  try {
    const r = await send('POST', 'operations/run', { body: plan.operation, signal: stop.signal });
    if (!r.ok) await answerOf(r);
    await lines(r, (p) => {
      if (p.end) ended = p;
      else if (p.state)
        fill(states[p.step], h('b', {}, words[p.state] || p.state), p.note ? [' ', text(p.note)] : null).className =
          p.state === 'failed' ? 'bad' : '';
    });
    fill(
      result,
      !ended
        ? 'The connection broke off. The step that was running may still be done: see the page Audit.'
        : ended.error
          ? ['It ended early: ', text(ended.error)]
          : 'Done.',
    );
  } catch (err) {
    if (err.name === 'AbortError') {
      toast('The step that has begun goes on to its end, and no other begins. The page Audit shows how it ended.');
      return;
    }
    fill(result, text(err.message));
  }
  const button = body.closest('dialog')?.querySelector('.buttons button');
  if (button) button.textContent = 'Close';
  await closed;
}
