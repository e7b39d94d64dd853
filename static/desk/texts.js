/* Texts for translation: Django's catalogue when the page has one, else the English text itself. */

export function gettext(text) {
  return globalThis.django?.gettext?.(text) ?? text;
}

/** "3 new": the form for a number; English has two. */
export function ngettext(one, many, n) {
  return globalThis.django?.ngettext?.(one, many, n) ?? (n === 1 ? one : many);
}

/** Put values into "%(name)s". */
export function fill(text, values) {
  return text.replace(/%\((\w+)\)s/g, (_, name) => String(values[name]));
}
