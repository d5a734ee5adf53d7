// The few things a page here needs of the document.

export function byId(id) {
  return document.getElementById(id);
}

/** Sets text only when it differs, so that nothing is announced or selected away for no reason. */
export function write(element, text) {
  const value = String(text ?? '');
  if (element.textContent !== value) element.textContent = value;
}

export function show(element, visible) {
  element.hidden = !visible;
}

/** A new element: `make('a', { href, class: 'x' }, 'text', child)`. Functions become listeners (`onclick`). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Asks in a dialog; answers true when the button with value "yes" closed it. */
export function confirmIn(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = '';
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
    dialog.showModal();
  });
}

/** Puts `text` before people who listen instead of look; the same text twice is said once. */
export function say(region, text) {
  write(region, text);
}

/** The decoded path segment after `/prefix/`. */
export function pathSegment(prefix) {
  const path = location.pathname;
  const raw = path.startsWith(`/${prefix}/`) ? path.slice(prefix.length + 2).split('/')[0] : '';
  try {
    return decodeURIComponent(raw);
  } catch {
    return raw;
  }
}
