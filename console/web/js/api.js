// Calls of the console's API. An error has the server's message, its code, and for a conflict the
// present state.

export class APIError extends Error {
  constructor(status, body) {
    super(body.error || `the console answered ${status}`);
    this.status = status;
    this.code = body.code || '';
    this.members = body.members;
    this.detail = body.detail;
    this.by = body.by;
  }
}

let onSignIn = () => {};
export function whenSignedOut(f) {
  onSignIn = f;
}

// The session's secret, sent besides the cookie. Cookies go to every port of a host; storage stays
// with this origin. Another tab may have signed in again, so it is read each time.
const place = `fairlead-session ${location.pathname}`;
let unstored = '';
function secret() {
  try {
    return localStorage.getItem(place) || unstored;
  } catch {
    return unstored;
  }
}
export function keepSecret(text) {
  unstored = text || '';
  try {
    if (text) localStorage.setItem(place, text);
    else localStorage.removeItem(place);
  } catch {
    /* for this page only */
  }
}

// send makes a request with the session's secret.
export async function send(method, path, { body, signal, headers } = {}) {
  const mine = secret();
  let r;
  try {
    r = await fetch(`api/${path}`, {
      method,
      signal,
      credentials: 'same-origin',
      cache: 'no-store',
      headers: {
        ...(mine ? { 'Fairlead-Session': mine } : {}),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new APIError(0, { error: 'The console itself cannot be reached.', code: 'offline' });
  }
  if (r.status === 401 && secret() !== mine) {
    return send(method, path, { body, signal, headers }); // another tab has just signed in
  }
  return r;
}

async function call(method, path, body, signal) {
  return answerOf(await send(method, path, { body, signal }));
}

// answerOf returns the data of a response, or throws its error.
export async function answerOf(r) {
  if (r.status === 204) return null;
  let data = {};
  try {
    data = await r.json();
  } catch (err) {
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

// The permissions of this session, set once at the start.
export const me = {};
