// The page's one stream of events. Pages set the prefixes that they follow; the overview always
// comes too, for the header. It is read with fetch: an EventSource cannot send the session's
// secret.
import { get, send, answerOf } from './api.js';
import { fromB64, toB64, toURL, equal } from './bytes.js';

let source = null; // the AbortController of the open stream
let topics = { watch: [], notice: [] };
let opened = '';
let again = null;
let pause = 0;
const pauseFirst = 1000;
const pauseMost = 8000;
const silence = 40000; // more than two heartbeats
const listeners = new Map(); // event name -> Set of functions

export const latest = { health: null }; // the latest findings
export const samples = []; // the latest overviews, two minutes of them
const sampleMost = 121;

export function on(name, f) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(f);
  return () => listeners.get(name).delete(f);
}

function tell(name, data) {
  for (const f of [...(listeners.get(name) || [])]) {
    try {
      f(data);
    } catch (err) {
      reportError(err);
    } // an error in a page must not end the stream
  }
}

// follow sets the prefixes (bytes) that the page follows: with values (watch), or only to notice
// changes (notice).
export function follow({ watch = [], notice = [] }) {
  topics = { watch: watch.map(toB64), notice: notice.map(toB64) };
  open();
}

function address() {
  const q = new URLSearchParams({ overview: '1' });
  for (const p of topics.watch) q.append('watch', toURL(p));
  for (const p of topics.notice) q.append('notice', toURL(p));
  return `stream?${q}`;
}

export function open() {
  const url = address();
  if (opened === url) return;
  close();
  opened = url;
  pause = 0;
  run(url, { last: '' });
}

// run reads one stream to its end, and opens it again after the last event.
async function run(url, seen) {
  const mine = new AbortController();
  source = mine;
  let why = '';
  try {
    const r = await send('GET', url, { signal: mine.signal, headers: seen.last ? { 'Last-Event-ID': seen.last } : {} });
    if (!r.ok) await answerOf(r);
    if (source === mine) tell('state', { name: 'live' });
    await read(r, mine, seen);
  } catch (err) {
    if (source !== mine) return;
    if (err.code === 'sign_in') {
      tell('signedout');
      return;
    }
    if (err.status > 0 && err.status !== 503) why = err.message;
  }
  if (source !== mine) return;
  mine.abort();
  tell('state', { name: 'lost', why });
  pause = Math.min(pauseMost, pause ? 2 * pause : pauseFirst);
  again = setTimeout(async () => {
    try {
      if (!(await get('session')).signedIn) {
        tell('signedout');
        return;
      }
    } catch {
      /* it cannot be reached: the stream tries too */
    }
    if (source === mine) run(url, seen);
  }, pause);
}

// read passes on the events of a stream until it ends, or is silent for too long.
async function read(r, mine, seen) {
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  let timer = null;
  try {
    for (;;) {
      clearTimeout(timer);
      timer = setTimeout(() => mine.signal.aborted || reader.cancel().catch(() => {}), silence);
      const { value, done } = await reader.read();
      if (done || source !== mine) return;
      text += value;
      for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
        if (event(text.slice(0, end), seen) === 'end' || source !== mine) return;
        pause = 0;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

// event passes on one event and returns its name.
function event(text, seen) {
  let name = '';
  let data = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('event: ')) name = line.slice(7);
    else if (line.startsWith('id: ')) seen.last = line.slice(4);
    else if (line.startsWith('data: ')) data = line.slice(6);
  }
  if (!name || name === 'end') return name;
  const value = JSON.parse(data);
  if (name === 'overview') {
    if (samples.length && samples[samples.length - 1].at >= value.at) return name;
    samples.push(value);
    if (samples.length > sampleMost) samples.shift();
  }
  if (name === 'health') latest.health = value;
  tell(name, value);
  return name;
}

export function close() {
  clearTimeout(again);
  const old = source;
  source = null;
  opened = '';
  old?.abort();
}

// concerns reports whether a notice is about a prefix.
export const concerns = (batch, prefix) => equal(fromB64(batch.prefix), prefix);
