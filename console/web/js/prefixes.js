// The prefixes with the most changes and the largest ones, with what was left out of both.
import { h, fill, bytesText, number, failure, table, row } from './dom.js';
import { get } from './api.js';
import { fromB64, show, toURL } from './bytes.js';

const every = 5000;
const fresh = 600000; // a measurement older than this is repeated automatically

const hotColumns = [{ name: 'Prefix' }, { name: 'Changes/s', class: 'num' }];
const largeColumns = [{ name: 'Prefix' }, { name: 'Keys', class: 'num' }, { name: 'About', class: 'num' }];

const rate = (n) => (n < 10 ? n.toFixed(1) : number.format(Math.round(n)));

function link(prefix) {
  const bytes = fromB64(prefix);
  return h(
    'a',
    { class: 'mono', href: `#/keys${prefix ? `?prefix=${toURL(prefix)}` : ''}` },
    bytes.length ? show(bytes) : h('i', {}, 'keys without a slash'),
  );
}

// prefixes returns the panel of a page.
export function prefixes(page) {
  const hot = h('div');
  const large = h('div');
  const wrong = h('div');
  let measuring = false;
  const again = h('button', { type: 'button', class: 'small', onclick: () => load(true) }, 'Measure again');
  const el = h(
    'section',
    { class: 'panel prefixes', 'aria-label': 'Prefixes' },
    h('div', { class: 'head' }, h('h2', {}, 'Prefixes'), again),
    wrong,
    h('div', { class: 'two' }, hot, large),
  );

  function drawHot(r) {
    fill(
      hot,
      table(
        'Changed most',
        hotColumns,
        r.prefixes.map((p) => row(hotColumns, [link(p.prefix), rate(p.rate)])),
      ),
      h(
        'p',
        { class: 'small muted' },
        r.error
          ? `Nothing is counted: ${r.error}`
          : !r.seconds
            ? 'Counting begins.'
            : `Counted over the last ${Math.round(r.seconds)} s, while this page is open: ${rate(r.rate)} changes/s in all. `,
        r.others > 0 ? `${rate(r.others)} of them were under too many prefixes to count each.` : null,
      ),
    );
  }

  function drawLarge(r) {
    const { keys, measured } = r;
    fill(
      large,
      table(
        'Largest',
        largeColumns,
        r.prefixes.map((p) => row(largeColumns, [link(p.prefix), number.format(p.keys), bytesText(p.bytes)])),
      ),
      h(
        'p',
        { class: 'small muted' },
        `Measured at ${new Date(r.at).toTimeString().slice(0, 8)}: `,
        r.all ? `all ${number.format(measured)} prefixes` : `the first ${number.format(measured)} prefixes`,
        fromB64(r.under).length ? [' under ', h('code', {}, show(fromB64(r.under)))] : null,
        `, of ${number.format(keys)} keys. Sizes are estimated from the first 8 keys of each.`,
        r.single ? ` ${number.format(r.single)} ${r.single === 1 ? 'key is' : 'keys are'} in none.` : null,
      ),
    );
  }

  async function load(weigh) {
    if (measuring) return;
    measuring = weigh;
    if (weigh) {
      again.disabled = true;
      if (!large.firstChild) fill(large, h('p', { class: 'muted' }, 'Measuring…'));
    }
    try {
      const r = await get('prefixes', weigh ? { weigh: 1 } : {}, page.signal);
      fill(wrong);
      drawHot(r.hot);
      if (r.large) drawLarge(r.large);
      else if (r.largeError) fill(large, h('p', { class: 'small muted' }, `Nothing is measured: ${r.largeError}`));
      return r;
    } catch (err) {
      if (err.name === 'AbortError') return;
      if (weigh) fill(large, failure(err));
      else fill(wrong, failure(err));
    } finally {
      if (weigh) {
        measuring = false;
        again.disabled = false;
      }
    }
  }

  load(false).then((r) => {
    if (r && (!r.large || Date.now() - r.large.at > fresh)) load(true);
  });
  page.every(every, () => load(false));
  return el;
}
