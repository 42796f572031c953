// The cluster's findings: the banner of every page, and the word in its head. The server sends them
// in plain words.
import { h, fill, toast, begin } from './dom.js';
import { show, encode } from './bytes.js';

const text = (s) => show(encode(s || ''));
const key = (f) => JSON.stringify([f.rule, f.severity, f.members]);

// since returns when a finding began: a time of today, or with its day.
function since(f) {
  const at = new Date(f.since);
  const day = at.toDateString() === new Date().toDateString() ? '' : `${at.toISOString().slice(0, 10)} `;
  return `Since ${day}${at.toTimeString().slice(0, 8)}${f.earlier ? ' or earlier' : ''}.`;
}

// worst returns what the head of the page shows: {kind, text}.
export function worst(health) {
  const [f] = health.findings;
  if (!f || f.severity !== 'problem') return { kind: 'live', text: 'Live' };
  return { kind: f.stops ? 'lost bad' : 'lost', text: f.title };
}

// tile returns what the overview shows of the cluster: [kind, text].
export function tile(health) {
  const [f] = health.findings;
  return f ? [f.stops ? 'bad' : 'warn', f.title] : ['ok', 'Healthy'];
}

// mend leads to the operation, which shows its plan first.
async function mend(m) {
  try {
    const { mends } = await import('./operate.js');
    await mends(m);
  } catch (err) {
    toast(err.message);
  }
}

// banner shows findings in an element. It does not build unchanged ones again: a screen reader
// would read them again, and a button would lose the focus.
export function banner(el, health, canOperate) {
  const list = health.findings;
  const keys = list.map(key).join();
  if (el.dataset.keys !== keys) {
    el.dataset.keys = keys;
    el.hidden = !list.length;
    el.classList.toggle(
      'mild',
      list.every((f) => !f.stops),
    );
    fill(
      el,
      list.map((f) => line(f, canOperate)),
    );
  }
  list.forEach((f, i) => {
    const what = el.children[i].querySelector('.what');
    if (what.dataset.text === f.what) return;
    what.dataset.text = f.what;
    fill(what, text(f.what));
  });
}

function line(f, canOperate) {
  return h(
    'div',
    { class: `finding ${f.stops ? 'stops' : f.severity}` },
    h(
      'p',
      {},
      h('strong', {}, f.title),
      ': ',
      h('span', { class: 'what', 'aria-live': 'off' }),
      f.means ? ['. ', begin(f.means), '. '] : '. ',
      h('span', { class: 'muted' }, since(f)),
    ),
    h(
      'div',
      { class: 'mends' },
      canOperate
        ? (f.mends || []).map((m) => h('button', { type: 'button', class: 'small', onclick: () => mend(m) }, m.text))
        : null,
      f.do || f.detail
        ? h(
            'details',
            {},
            h('summary', {}, 'What to do'),
            f.do ? h('p', {}, begin(f.do), '.') : null,
            f.detail ? h('p', { class: 'small' }, text(f.detail)) : null,
          )
        : null,
    ),
  );
}
