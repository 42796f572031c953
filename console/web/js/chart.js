// A line over the last two minutes, as SVG.
import { h, number } from './dom.js';

const width = 240;
const height = 60;
export const span = 120; // seconds

// chart returns a figure and a function that draws points [[seconds ago, value]], the oldest first.
// A null value is a gap.
export function chart(title, unit) {
  const now = h('b', {});
  const top = h('span', {});
  const area = h('path', { class: 'area' });
  const stroke = h('path', { class: 'stroke' });
  const svg = h(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': title },
    [0.5, 1].map((y) =>
      h('line', { class: 'grid', x1: 0, x2: width, y1: height - y * (height - 4), y2: height - y * (height - 4) }),
    ),
    h('line', { class: 'grid', x1: 0, x2: width, y1: height, y2: height }),
    area,
    stroke,
  );
  const el = h(
    'figure',
    { class: 'chart panel' },
    h('figcaption', {}, h('span', {}, title), h('span', {}, now, ` ${unit}`)),
    svg,
    h('div', { class: 'axis' }, h('span', {}, '2 min ago'), top, h('span', {}, 'now')),
  );

  function draw(points) {
    const known = points.filter((p) => p[1] !== null);
    const most = nice(Math.max(1, ...known.map((p) => p[1])));
    const runs = [];
    let run = null;
    for (const [ago, value] of points) {
      if (value === null) {
        run = null;
        continue;
      }
      if (!run) runs.push((run = []));
      run.push([width * (1 - ago / span), height - (value / most) * (height - 4)]);
    }
    const text = (r) => r.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
    stroke.setAttribute('d', runs.map(text).join(''));
    area.setAttribute(
      'd',
      runs
        .map((r) => `${text(r)}L${r[r.length - 1][0].toFixed(1)} ${height}L${r[0][0].toFixed(1)} ${height}Z`)
        .join(''),
    );
    const last = known.length ? known[known.length - 1][1] : null;
    now.textContent = last === null ? '–' : rate(last);
    top.textContent = `scale to ${number.format(most)}`;
    svg.setAttribute(
      'aria-label',
      `${title}: now ${now.textContent} ${unit}, at most ${rate(Math.max(0, ...known.map((p) => p[1])))}`,
    );
  }
  draw([]);
  return { el, draw };
}

export const rate = (n) => (n < 10 ? n.toFixed(1) : number.format(Math.round(n)));

function nice(n) {
  const unit = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((f) => f * unit).find((v) => v >= n);
}
