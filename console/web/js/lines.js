// Lines over a period of the past, as SVG, with marks for events and the values at the pointer.
import { h, fill } from './dom.js';
import { show, encode } from './bytes.js';

const width = 240;
const height = 60;
const colours = 6;

// lines returns a figure and a function that draws series [{name, values}] at the times of a frame
// {to, span, gap, at, marks}. A null value is unknown. A limit near the values is drawn too.
export function lines(title, format) {
  const now = h('b', {});
  const top = h('span', {});
  const body = h('g', {});
  const svg = h(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': title },
    body,
  );
  const left = h('span', {});
  const legend = h('div', { class: 'legend' });
  const at = h('div', { class: 'at' }); // of a fixed height, so that the lines under the pointer do not move
  const el = h(
    'figure',
    { class: 'chart past-chart' },
    h('figcaption', {}, h('span', {}, title), now),
    svg,
    h('div', { class: 'axis' }, left, top, h('span', {}, 'now')),
    legend,
    at,
  );
  let drawn = null;

  function draw(frame, series, limit) {
    drawn = { frame, series };
    const all = series.flatMap((s) => s.values.filter((v) => v !== null));
    const most = Math.max(1e-9, ...all, limit && Math.max(0, ...all) > limit / 2 ? limit : 0) * 1.05;
    const x = (t) => width * (1 - (frame.to - t) / frame.span);
    const y = (v) => height - (v / most) * (height - 4);
    const path = (values) => {
      let d = '';
      let last = -Infinity;
      values.forEach((v, i) => {
        if (v === null) return;
        d += `${frame.at[i] - last > frame.gap ? 'M' : 'L'}${x(frame.at[i]).toFixed(1)} ${y(v).toFixed(1)}`;
        last = frame.at[i];
      });
      return d;
    };
    fill(
      body,
      h('line', { class: 'grid', x1: 0, x2: width, y1: height, y2: height }),
      limit && limit <= most ? h('line', { class: 'limit', x1: 0, x2: width, y1: y(limit), y2: y(limit) }) : null,
      frame.marks.map((m) => h('line', { class: `mark ${m.kind}`, x1: x(m.at), x2: x(m.at), y1: 0, y2: height })),
      series.map((s, i) => h('path', { class: `stroke c${i % colours}`, d: path(s.values) })),
    );
    left.textContent = frame.span > 7200000 ? '24 h ago' : '1 h ago';
    top.textContent = all.length ? `at most ${format(Math.max(...all))}` : 'unknown';
    fill(legend, series.length > 1 ? series.map((s, i) => h('span', { class: `key c${i % colours}` }, s.name)) : null);
    svg.setAttribute(
      'aria-label',
      `${title}: ${all.length ? `at most ${format(Math.max(...all))}` : 'unknown'}, ${frame.marks.length} events`,
    );
    tell(frame.at.length - 1);
  }

  // tell shows the values of a step.
  function tell(i, past) {
    const { frame, series } = drawn;
    const values =
      i < 0
        ? []
        : series
            .filter((s) => s.values[i] !== null)
            .map((s) => (s.name ? `${s.name} ${format(s.values[i])}` : format(s.values[i])));
    const near = past
      ? frame.marks.filter((m) => Math.abs(m.at - frame.at[i]) <= frame.gap / 2).map((m) => m.text.slice(0, 60))
      : [];
    fill(now, show(encode(values.join(', ') || '–')));
    fill(at, past ? show(encode([new Date(frame.at[i]).toTimeString().slice(0, 5), ...near].join(' · '))) : null);
  }

  svg.addEventListener('pointermove', (e) => {
    if (!drawn?.frame.at.length) return;
    const { frame } = drawn;
    const r = svg.getBoundingClientRect();
    const t = frame.to - frame.span * (1 - (e.clientX - r.x) / r.width);
    let best = 0;
    frame.at.forEach((a, i) => {
      if (Math.abs(a - t) < Math.abs(frame.at[best] - t)) best = i;
    });
    tell(best, true);
  });
  svg.addEventListener('pointerleave', () => {
    if (drawn) tell(drawn.frame.at.length - 1);
  });
  return { el, draw };
}
