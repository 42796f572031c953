// The last hour and the last day of the cluster, which the server keeps: charts with events as
// marks, and a list of the events.
import { h, fill, bytesText, failure } from './dom.js';
import { get } from './api.js';
import { show, encode } from './bytes.js';
import { lines } from './lines.js';
import { latest } from './stream.js';

const text = (s) => show(encode(s || ''));
const every = 15000;
const shown = 12;
// The mark and the word for each kind of event.
const kinds = {
  leader: ['◆', 'Leader'],
  restart: ['↻', 'Restart'],
  joined: ['+', 'Joined'],
  left: ['−', 'Removed'],
  begun: ['▲', 'Trouble'],
  over: ['○', 'Over'],
  change: ['✎', 'Changed'],
};
const ms = (n) => `${n < 10 ? n.toFixed(1) : Math.round(n)} ms`;

// inWords returns a remaining time in words.
function inWords(left) {
  const hours = left / 3600000;
  return hours < 2
    ? `${Math.round(left / 60000)} minutes`
    : hours < 48
      ? `${Math.round(hours)} hours`
      : `${Math.round(hours / 24)} days`;
}

// past returns the panel of a page.
export function past(page, metrics) {
  let span = 'hour';
  let loaded = 0;
  let whole = false; // all events are shown
  const choice = ['hour', 'day'].map((name) =>
    h(
      'button',
      { type: 'button', class: 'small', 'aria-pressed': String(name === span), onclick: () => choose(name) },
      `Last ${name}`,
    ),
  );
  const charts = {
    changes: lines('Changes', (n) => `${n.toFixed(1)}/s`),
    size: lines('Database', bytesText),
    answer: lines('Slowest answers', ms),
  };
  if (metrics)
    Object.assign(charts, {
      requests: lines('Requests', (n) => `${n.toFixed(1)}/s`),
      fsync: lines('Writes to the log, p99', ms),
      commit: lines('Database commits, p99', ms),
    });
  const note = h('p', { class: 'small muted' });
  const events = h('ul', { class: 'events-past' });
  const more = h('button', { type: 'button', class: 'small', hidden: true });
  const wrong = h('div');
  const el = h(
    'section',
    { class: 'panel past', 'aria-label': 'Past' },
    h('div', { class: 'head' }, h('h2', {}, 'Past'), choice),
    wrong,
    h(
      'div',
      { class: 'charts' },
      Object.values(charts).map((c) => c.el),
    ),
    note,
    h('div', { class: 'head' }, h('h3', {}, 'Timeline'), more),
    events,
  );

  function choose(name) {
    span = name;
    choice.forEach((b, i) => b.setAttribute('aria-pressed', String(['hour', 'day'][i] === name)));
    load();
  }

  function draw(r) {
    const frame = {
      to: r.now,
      span: r.span,
      gap: Math.max(2 * r.step, 150000),
      at: r.at.map((t) => t + r.step / 2),
      marks: r.events.filter((e) => e.kind !== 'change'), // there may be hundreds
    };
    charts.changes.draw(frame, [{ name: '', values: r.changes }]);
    charts.size.draw(frame, [{ name: '', values: r.size }], r.quota);
    charts.requests?.draw(frame, r.requests || []);
    for (const kind of ['answer', 'fsync', 'commit'])
      charts[kind]?.draw(
        frame,
        r.members.map((m) => ({ name: m.name, values: m[kind] })),
      );
    fill(
      note,
      r.full
        ? `If the database goes on growing like this, it reaches its quota of ${bytesText(r.quota)} in ${inWords(r.full)}. `
        : null,
      r.file
        ? 'Kept in a file, over restarts of the console; measured'
        : 'Kept since the console started; measured',
      ' each minute, and every 5 s while a page is open.',
    );
    timeline(r.events);
  }

  function timeline(all) {
    const last = (whole ? all : all.slice(-shown)).toReversed();
    fill(
      events,
      last.length
        ? last.map((e) => {
            const [mark, word] = kinds[e.kind] || ['·', e.kind];
            return h(
              'li',
              { class: e.kind },
              h('span', { class: 'mono small muted' }, stamp(e.at)),
              h('span', { class: 'mark', 'aria-hidden': 'true' }, mark),
              h('span', { class: 'kind' }, word),
              h('span', {}, text(e.text)),
            );
          })
        : h('li', {}, h('span', { class: 'muted' }, `Nothing in this ${span}.`)),
    );
    more.hidden = all.length <= shown;
    more.textContent = whole ? 'Show the latest' : `Show all ${all.length}`;
    more.onclick = () => {
      whole = !whole;
      timeline(all);
    };
  }

  async function load() {
    loaded = Date.now();
    try {
      const r = await get('memory', { span }, page.signal);
      fill(wrong);
      draw(r);
    } catch (err) {
      if (err.name !== 'AbortError') fill(wrong, failure(err, load));
    }
  }
  // With each examination, so that it asks only while the page is live.
  page.on('health', () => {
    if (Date.now() - loaded >= every) load();
  });
  if (latest.health) load();
  return el;
}

// stamp returns a time of today, or with its day.
function stamp(t) {
  const at = new Date(t);
  return `${at.toDateString() === new Date().toDateString() ? '' : `${at.getMonth() + 1}/${at.getDate()} `}${at.toTimeString().slice(0, 8)}`;
}
