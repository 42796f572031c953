// Calls of the console's API. An error has the server's message, its code, and for a conflict what is there now.

export class APIError extends Error {
  constructor(status, body) {
    super(body.error || `the console answered ${status}`);
    this.status = status;
    this.code = body.code || '';
    this.members = body.members;
    this.detail = body.detail;
  }
}

let onSignIn = () => {};
export function whenSignedOut(f) { onSignIn = f; }

async function call(method, path, body, signal) {
  let r;
  try {
    r = await fetch(`api/${path}`, {
      method, signal, credentials: 'same-origin',
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new APIError(0, { error: 'The console itself cannot be reached.', code: 'offline' });
  }
  if (r.status === 204) return null;
  let data = {};
  try { data = await r.json(); } catch (err) {
    if (err.name === 'AbortError') throw err;
    if (r.ok) throw new APIError(0, { error: 'The connection broke off in the middle of an answer.', code: 'offline' });
  }
  if (r.ok) return data;
  const err = new APIError(r.status, data);
  if (err.code === 'sign_in') onSignIn();
  throw err;
}

function query(params) {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params || {})) if (v !== undefined && v !== null && v !== '') q.set(k, v);
  const s = q.toString();
  return s ? `?${s}` : '';
}

export const get = (path, params, signal) => call('GET', path + query(params), undefined, signal);
export const post = (path, body, signal) => call('POST', path, body, signal);
export const put = (path, body, signal) => call('PUT', path, body, signal);
export const del = (path) => call('DELETE', path);

// What this session may do, set once at the start.
export const me = {};
