// The page's one stream of events. Pages say which prefixes they follow; the overview always comes along, for the header.
import { get } from './api.js';
import { fromB64, toB64, toURL, equal } from './bytes.js';

let source = null;
let topics = { watch: [], notice: [] };
let opened = '';
let again = null;
const listeners = new Map(); // event name -> Set of functions

export const samples = []; // the latest overviews, two minutes of them
const sampleMost = 121;

export function on(name, f) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(f);
  return () => listeners.get(name).delete(f);
}

function tell(name, data) {
  for (const f of [...(listeners.get(name) || [])]) f(data);
}

// follow says which prefixes (bytes) the page follows: with values (watch) or only that they change (notice).
export function follow({ watch = [], notice = [] }) {
  topics = { watch: watch.map(toB64), notice: notice.map(toB64) };
  open();
}

function address() {
  const q = new URLSearchParams({ overview: '1' });
  for (const p of topics.watch) q.append('watch', toURL(p));
  for (const p of topics.notice) q.append('notice', toURL(p));
  return `api/stream?${q}`;
}

export function open(force) {
  const url = address();
  if (source && opened === url && !force) return;
  close();
  opened = url;
  const s = new EventSource(url);
  source = s;
  s.onopen = () => tell('state', 'live');
  s.onerror = () => {
    if (source !== s) return;
    tell('state', 'lost');
    if (s.readyState === EventSource.CLOSED) retry();
  };
  s.addEventListener('overview', (e) => {
    const o = JSON.parse(e.data);
    if (samples.length && samples[samples.length - 1].at >= o.at) return;
    samples.push(o);
    if (samples.length > sampleMost) samples.shift();
    tell('overview', o);
  });
  s.addEventListener('watch', (e) => tell('watch', JSON.parse(e.data)));
  s.addEventListener('notice', (e) => tell('notice', JSON.parse(e.data)));
  s.addEventListener('end', () => { if (source === s) { close(); tell('state', 'lost'); retry(); } });
}

// retry asks whether the session is still there before it opens the stream again.
function retry() {
  clearTimeout(again);
  again = setTimeout(async () => {
    try {
      if (!(await get('session')).signedIn) { tell('signedout'); return; }
    } catch { /* it cannot be reached: the stream tries too */ }
    open(true);
  }, 2000);
}

export function close() {
  clearTimeout(again);
  source?.close();
  source = null;
  opened = '';
}

// concerns reports that a notice is about a prefix that was followed.
export const concerns = (batch, prefix) => equal(fromB64(batch.prefix), prefix);
