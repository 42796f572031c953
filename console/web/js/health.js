// What is wrong with the cluster, in plain words: for the banner of every page and for the overview.
import { h, fill } from './dom.js';
import { show, encode } from './bytes.js';

const named = (list) => list.map((m) => m.name || m.endpoint || m.id).join(', ');

// problems are what is wrong as of an overview, the worst first: {short, text}.
export function problems(o) {
  const out = [];
  const down = o.members.filter((m) => !m.up);
  const voters = o.members.filter((m) => !m.learner);
  const live = voters.filter((m) => m.up).length;
  if (down.length && down.length === o.members.length) return [{ short: 'Not reachable', text: 'No member answers: nothing can be read or written from here.' }];
  if (voters.length && live <= voters.length / 2) out.push({ short: 'No quorum', text: `Only ${live} of ${voters.length} voting members answer, which is no quorum: writes are refused, and reads except serializable ones.` });
  else if (!o.leader) out.push({ short: 'No leader', text: 'There is no leader: writes wait until one is elected.' });
  const alarmed = (name) => o.members.filter((m) => (m.alarms || []).includes(name));
  if (alarmed('NOSPACE').length) out.push({ short: 'No space', text: `The database of ${named(alarmed('NOSPACE'))} has reached its quota: the whole cluster refuses writes. Delete what is not needed, compact, defragment, then disarm the alarm.` });
  if (alarmed('CORRUPT').length) out.push({ short: 'Corrupt', text: `The data of ${named(alarmed('CORRUPT'))} differs from the others': the cluster refuses requests. Remove that member and add it anew.` });
  if (down.length) out.push({ short: 'Degraded', text: `${named(down)} ${down.length === 1 ? 'does' : 'do'} not answer.`, mild: true });
  return out;
}

// banner shows them in an element, and changes it only if they have changed: it is read out.
export function banner(el, o, canOperate) {
  const list = problems(o);
  const text = list.map((p) => p.text).join('\n');
  if (el.dataset.text === text) return;
  el.dataset.text = text;
  el.hidden = !list.length;
  el.classList.toggle('mild', list.every((p) => p.mild));
  fill(el, list.map((p) => h('p', {}, h('strong', {}, p.short), ': ', show(encode(p.text)))),
    list.length && canOperate ? h('a', { href: '#/overview' }, 'Members and operations') : null);
}
