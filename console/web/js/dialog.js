// Dialogs are native ones, so that focus stays inside, Esc closes them and the rest of the page is
// out of reach.
import { h } from './dom.js';
import { me } from './api.js';
import { show, encode } from './bytes.js';

// dialog shows a dialog and resolves with the value of the button that closed it, '' for Esc.
// Buttons: [{value, text, kind, check}]; the first has the focus unless the body has an
// [autofocus]. A button's check may be asynchronous, and keeps the dialog open by returning false.
export function dialog(title, body, buttons, props) {
  return new Promise((resolve) => {
    let result = '';
    const say = h('p', { class: 'say', role: 'alert' });
    const d = h(
      'dialog',
      { 'aria-label': title, ...props },
      h('h2', {}, title),
      h('div', { class: 'body' }, body),
      buttons.some((b) => b.kind && b.value) && me.cluster
        ? h('p', { class: 'cluster' }, 'Cluster: ', h('strong', {}, show(encode(me.cluster))))
        : null,
      say,
      h(
        'div',
        { class: 'buttons' },
        buttons.map((b, i) =>
          h(
            'button',
            {
              type: 'button',
              class: b.kind || '',
              autofocus: i === 0,
              onclick: async (e) => {
                const button = e.currentTarget;
                button.disabled = true;
                say.textContent = '';
                try {
                  if (b.check && (await b.check()) === false) return;
                } catch (err) {
                  say.textContent = err.message;
                  return;
                } finally {
                  button.disabled = false;
                }
                result = b.value;
                d.close();
              },
            },
            b.text,
          ),
        ),
      ),
    );
    d.addEventListener('close', () => {
      d.remove();
      resolve(result);
    });
    document.body.append(d);
    d.showModal();
    (d.querySelector('[data-focus]') || d.querySelector('.buttons button')).focus();
  });
}

// closeDialogs closes all, as Esc does.
export function closeDialogs() {
  for (const d of [...document.querySelectorAll('dialog[open]')].reverse()) d.close();
}

export async function confirm(title, body, action, kind) {
  return (
    (await dialog(title, body, [
      { value: '', text: 'Cancel' },
      { value: 'yes', text: action, kind: kind || 'primary' },
    ])) === 'yes'
  );
}
