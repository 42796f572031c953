// Keys that work everywhere. Lists handle the arrows themselves; see list below.
import { h } from './dom.js';
import { dialog } from './dialog.js';

export const pageKeys = []; // [{key, text, run}] of the page that is shown

const typing = (el) =>
  el &&
  (el.isContentEditable ||
    el.tagName === 'TEXTAREA' ||
    el.tagName === 'SELECT' ||
    (el.tagName === 'INPUT' && !['checkbox', 'radio', 'button'].includes(el.type)));

export function start(pages, go, jump) {
  let g = 0; // when g was pressed, the beginning of "g o" and so on
  document.addEventListener('keydown', (e) => {
    if ((e.ctrlKey || e.metaKey) && !e.altKey && e.key === 'k' && !document.querySelector('dialog[open]')) {
      e.preventDefault();
      jump(pages, go);
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
    if (typing(document.activeElement)) {
      if (e.key === 'Escape') document.activeElement.blur();
      return;
    }
    if (Date.now() - g < 1500) {
      const page = pages.find((p) => p.letter === e.key);
      g = 0;
      if (page) {
        e.preventDefault();
        go(page.path);
        return;
      }
    }
    if (e.key === 'g') {
      g = Date.now();
      return;
    }
    if (e.key === '?') {
      e.preventDefault();
      help(pages);
      return;
    }
    if (e.key === '/') {
      const search = document.querySelector('main [data-search]');
      if (search) {
        e.preventDefault();
        search.focus();
        search.select();
      }
      return;
    }
    const own = pageKeys.find((k) => k.key === e.key);
    if (own) {
      e.preventDefault();
      own.run();
    }
  });
}

export function help(pages) {
  const line = (keys, text) =>
    h(
      'tr',
      {},
      h(
        'th',
        { scope: 'row' },
        keys.map((k) => h('kbd', {}, k)),
      ),
      h('td', {}, text),
    );
  return dialog(
    'Keyboard',
    h(
      'table',
      { class: 'keys' },
      h(
        'tbody',
        {},
        line(['Ctrl-K'], 'jump to a page, key, service or action'),
        line(['/'], 'search'),
        line(['?'], 'this help'),
        line(['Esc'], 'close a dialog, leave a field'),
        line(['j', '↓'], 'next in a list or tree'),
        line(['k', '↑'], 'the one before'),
        line(['l', '→'], 'open a branch'),
        line(['h', '←'], 'close it, or go to its parent'),
        line(['Enter'], 'show'),
        document.querySelector('.marker') ? line(['Space'], 'mark or unmark the key') : null,
        pages.map((p) => line(['g', p.letter], p.name)),
        pageKeys.map((k) => line([k.key === ' ' ? 'Space' : k.key], k.text)),
      ),
    ),
    [{ value: '', text: 'Close' }],
  );
}

// list lets arrows, j and k move the focus among the elements that a selector finds in a container.
export function list(container, selector, more) {
  container.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || typing(e.target)) return;
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, Home: -Infinity, End: Infinity }[e.key];
    const at = e.target.closest(selector) || e.target.closest('li')?.querySelector(selector);
    if (step !== undefined) {
      const all = [...container.querySelectorAll(selector)].filter((el) => el.offsetParent !== null);
      const i = all.indexOf(at);
      const next = all[Math.max(0, Math.min(all.length - 1, i + step))];
      if (next) {
        e.preventDefault();
        next.focus();
        next.scrollIntoView({ block: 'nearest' });
      }
    } else if (more && at) more(e, at);
  });
}

// rover makes the elements that a selector finds in a container a single stop of the Tab key: the
// one that had the focus last, or the first. The keys of list reach the others. The caller calls
// the returned function after it has added or removed elements.
export function rover(container, selector) {
  let now = null;
  const be = (el) => {
    if (now) now.tabIndex = -1;
    now = el;
    if (el) el.tabIndex = 0;
  };
  container.addEventListener('focusin', (e) => {
    if (e.target.matches(selector)) be(e.target);
  });
  return () => {
    if (!now || !container.contains(now)) be(container.querySelector(selector));
  };
}
