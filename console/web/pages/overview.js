// The cluster and its members, live.
import { h, fill, setText, table, row, state, bar, bytesText, number, failure } from '../js/dom.js';
import { chart, span } from '../js/chart.js';
import { latest, samples } from '../js/stream.js';
import { get, me } from '../js/api.js';
import { panel } from '../js/operate.js';
import { tile as wordOf } from '../js/health.js';

const columns = [
  { name: 'Member' },
  { name: 'State' },
  { name: 'Latency', class: 'num' },
  { name: 'Database' },
  { name: 'Revision', class: 'num' },
  { name: 'Raft', class: 'num' },
  { name: 'Version' },
  { name: 'Alarms' },
];

export function mount(page) {
  const tile = (name) => {
    const figure = h('div', { class: 'figure' }, '–');
    const note = h('div', { class: 'note' });
    return { el: h('div', { class: 'tile' }, h('div', { class: 'name' }, name), figure, note), figure, note };
  };
  const tiles = { health: tile('Cluster'), leader: tile('Leader'), revision: tile('Revision'), size: tile('Database') };
  const charts = { changes: chart('Changes', 'revisions/s'), index: chart('Proposals', 'raft entries/s') };
  if (me.requests) charts.requests = chart('Requests', 'received/s');
  const members = h('div', { class: 'panel members' });
  const wrong = h('div');
  const before = h('div');
  const where = h('div');
  fill(
    page.root,
    h('h1', {}, 'Overview'),
    wrong,
    h(
      'div',
      { class: 'tiles' },
      Object.values(tiles).map((t) => t.el),
    ),
    h(
      'div',
      { class: 'charts' },
      Object.values(charts).map((c) => c.el),
    ),
    members,
    me.operates ? panel() : null,
    before,
    where,
  ); // the last ones come later, and must not move a button under the pointer
  import('../js/past.js').then(
    ({ past }) => {
      if (!page.signal.aborted) fill(before, past(page, me.requests));
    },
    () => {},
  );

  import('../js/prefixes.js').then(
    ({ prefixes }) => {
      if (!page.signal.aborted) fill(where, prefixes(page));
    },
    () => {},
  );

  function draw(o) {
    const up = o.members.filter((m) => m.up).length;
    const voters = o.members.filter((m) => !m.learner).length;
    setText(
      tiles.health.note,
      `${up} of ${o.members.length} members answer${voters < o.members.length ? `, ${o.members.length - voters} learning` : ''}`,
    );
    const leader = o.members.find((m) => m.leader);
    setText(tiles.leader.figure, leader?.name || leader?.endpoint || (o.leader ? o.leader : 'none'));
    setText(tiles.leader.note, leader ? `term ${leader.term}` : o.leader ? 'does not answer from here' : '');
    setText(tiles.revision.figure, o.revision ? number.format(o.revision) : '–');
    setText(tiles.revision.note, o.cluster ? `cluster ${o.cluster}` : '');
    const largest = o.members.reduce((a, m) => (m.size > a.size ? m : a), o.members[0] || { size: 0 });
    setText(tiles.size.figure, largest.size ? bytesText(largest.size) : '–');
    setText(
      tiles.size.note,
      largest.size
        ? `${bytesText(largest.inUse)} in use${largest.quota ? `, quota ${bytesText(largest.quota)}` : ''}`
        : '',
    );
    fill(
      wrong,
      up
        ? null
        : failure({
            message: o.error || 'No member answers.',
            members: o.members.map((m) => ({ endpoint: m.endpoint, state: m.state, reason: m.error, seconds: 0 })),
          }),
    );
    fill(
      members,
      table(
        'Members',
        columns,
        o.members.map((m) => line(m, o)),
      ),
    );
  }

  function line(m, o) {
    const lag = o.index - m.index;
    return row(columns, [
      h('span', {}, h('strong', {}, m.name || m.id || '?'), h('br'), h('code', { class: 'muted' }, m.endpoint)),
      h(
        'span',
        {},
        m.up
          ? state(
              m.state === 'healthy' || m.state.startsWith('not') ? 'ok' : 'warn',
              m.state === 'healthy' ? 'answers' : m.state,
            )
          : state('bad', m.state === 'healthy' ? 'no answer' : m.state),
        ' ',
        m.leader ? h('span', { class: 'tag accent' }, 'leader') : null,
        m.learner ? h('span', { class: 'tag' }, 'learner') : null,
        m.up ? null : h('div', { class: 'small muted' }, m.error),
      ),
      m.up ? `${m.millis < 10 ? m.millis.toFixed(1) : Math.round(m.millis)} ms` : '',
      m.up
        ? h(
            'span',
            {},
            `${bytesText(m.inUse)} of ${bytesText(m.size)} `,
            m.quota
              ? [
                  h('br'),
                  bar(
                    m.size,
                    m.quota,
                    `${Math.round((100 * m.size) / m.quota)} % of the quota of ${bytesText(m.quota)}`,
                    m.size > 0.9 * m.quota ? 'bad' : m.size > 0.75 * m.quota ? 'warn' : '',
                  ),
                ]
              : null,
          )
        : '',
      m.up ? number.format(m.revision) : '',
      m.up
        ? h(
            'span',
            {},
            number.format(m.applied),
            lag > 10 ? h('div', { class: 'small muted' }, `${number.format(lag)} behind`) : null,
          )
        : '',
      m.up ? m.version : '',
      (m.alarms || []).length
        ? m.alarms.map((a) => h('span', { class: 'tag bad' }, a))
        : o.members.some((x) => x.alarms?.length) || !(m.problems || []).length
          ? 'none'
          : 'see above', // its own message is for programs
    ]);
  }

  // rates returns the differences between samples, per second.
  function rates(field) {
    const now = samples.length ? samples[samples.length - 1].at : 0;
    const out = [];
    let a = null; // the last sample with the field: not every sample has each field
    for (const b of samples) {
      if (!(b[field] > 0)) continue;
      const time = a ? (b.at - a.at) / 1000 : 0;
      const ago = (now - b.at) / 1000;
      if (a && ago <= span) out.push([ago, time < 6 && b[field] >= a[field] ? (b[field] - a[field]) / time : null]);
      a = b;
    }
    return out;
  }

  function update(o) {
    draw(o);
    charts.changes.draw(rates('revision'));
    charts.index.draw(rates('index'));
    charts.requests?.draw(rates('requests'));
  }

  const judge = (health) => fill(tiles.health.figure, state(...wordOf(health)));
  if (latest.health) judge(latest.health);
  page.on('health', judge);
  page.on('overview', update);
  if (samples.length) update(samples[samples.length - 1]);
  else {
    fill(members, h('p', { class: 'wait' }, 'Asking the members…'));
    get('overview', {}, page.signal).then(
      (o) => {
        if (!samples.length) draw(o);
      },
      (err) => {
        if (err.name !== 'AbortError') fill(members, failure(err));
      },
    );
  }
}
