// The page of one instance: all that is known of it, the actions on it, and the history of its
// record.
import { h, fill, state, bar, seconds } from './dom.js';
import { me } from './api.js';
import { toURL } from './bytes.js';
import { brief } from './value.js';
import { percent } from './controls.js';
import { revisions } from './revisions.js';

const text = (s) => brief(s || '', 4000); // the page of its key has all of it

// instancePage returns an element and a function that draws the instance of a service; the instance
// is undefined if it is gone.
export function instancePage(page, act, back) {
  const facts = h('dl', { class: 'facts' });
  const tools = h('div', { class: 'toolbar' });
  const more = h('div');
  const past = h('div');
  const name = h('h2', { class: 'keyname' });
  const el = h(
    'section',
    { class: 'panel instance' },
    h('p', {}, h('a', { href: back }, 'All instances')),
    name,
    tools,
    facts,
    more,
    past,
  );
  let told = '';
  let was = ''; // the record whose revisions are shown

  function draw(service, id, i, age) {
    const fact = (label, ...value) => h('div', {}, h('dt', {}, label), h('dd', {}, value));
    fill(name, text(`${service.name || ''}/${id}`));
    if (!i) {
      if (told === 'gone') return;
      told = 'gone';
      fill(facts, fact('State', 'not registered'));
      fill(
        more,
        h(
          'p',
          { class: 'empty' },
          'There is no such instance now. If there was one, its revisions may still be there.',
        ),
      );
      fill(tools);
      return;
    }
    const left = i.lease ? Math.max(0, i.ttl - age) : 0;
    const word = JSON.stringify([i, left]);
    if (told === word) return;
    told = word;
    fill(
      facts,
      fact(
        'State',
        i.draining
          ? state('warn', i.override?.maintenance ? 'draining, set by operators' : 'draining by itself')
          : state('ok', 'up'),
      ),
      fact(
        'Addresses',
        i.addresses.map((a) => h('div', { class: 'mono' }, text(a))),
      ),
      fact('Version', text(i.version || 'none')),
      fact('Zone', text(i.zone || 'none')),
      fact('Weight', `${i.weight || 10}`, i.override?.weight ? `, set by operators; its own is ${i.own.weight}` : ''),
      fact(
        'Gets of the calls',
        percent(i.share),
        i.parts
          ? h(
              'div',
              { class: 'small muted' },
              'in the part ',
              i.parts.map((p) => [h('code', {}, text(p)), ' ']),
            )
          : null,
      ),
      fact(
        'Last seen',
        i.lease
          ? [
              `${seconds(Math.max(0, i.granted - left))} ago`,
              h(
                'div',
                { class: 'small muted' },
                `Its lease expires in ${seconds(left)} unless it renews it. `,
                bar(left, i.granted, `${left} of ${i.granted} s left`, left < i.granted / 3 ? 'warn' : ''),
              ),
            ]
          : 'unknown: its record has no lease, and stays if it dies',
      ),
      fact('Lease', i.lease ? h('a', { class: 'mono', href: `#/leases?id=${i.lease}` }, i.lease) : 'none'),
      fact('Record', h('a', { class: 'mono', href: `#/keys?key=${toURL(i.key)}` }, 'its key')),
    );
    const focus = tools.contains(document.activeElement) ? document.activeElement.textContent : '';
    fill(
      tools,
      me.readOnly ? null : act(service, i),
      h(
        'button',
        {
          type: 'button',
          class: 'small',
          onclick: () => {
            was = i.key;
            revisions(past, i.key, page.signal);
          },
        },
        'Revisions of its record',
      ),
    );
    if (focus) [...tools.querySelectorAll('button')].find((b) => b.textContent === focus)?.focus();
    const meta = Object.entries(i.metadata || {});
    fill(
      more,
      i.tags?.length
        ? h(
            'p',
            {},
            'Tags: ',
            i.tags.map((t) => [h('span', { class: 'tag' }, text(t)), ' ']),
          )
        : null,
      meta.length
        ? h(
            'dl',
            { class: 'facts' },
            meta.map(([k, v]) => fact(text(k), h('span', { class: 'mono' }, text(v)))),
          )
        : null,
    );
    if (was && was !== i.key) {
      was = '';
      fill(past);
    }
  }
  return { el, draw };
}
