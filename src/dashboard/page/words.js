// Elements, words and numbers of the page.

export const MONTHS = [
  'January', 'February', 'March', 'April', 'May', 'June',
  'July', 'August', 'September', 'October', 'November', 'December',
];

export const $ = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export const UNKNOWN = '–';
export const integers = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
export const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const times = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const moments = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export const known = (value, write) => (value === null || value === undefined ? UNKNOWN : write(value));
export const integer = (value) => known(value, (value) => integers.format(value));
/** Unknown if a part of it is. */
export const sum = (values) => (values.some((value) => value === null) ? null : values.reduce((total, value) => total + value, 0));

export function duration(seconds) {
  if (seconds < 1) return `${integers.format(seconds * 1000)} ms`;
  if (seconds < 120) return `${integers.format(seconds)} s`;
  if (seconds < 7200) return `${integers.format(seconds / 60)} min`;
  if (seconds < 172800) return `${integers.format(seconds / 3600)} h`;
  return `${integers.format(seconds / 86400)} days`;
}

export function bytes(count) {
  return count < 10_000 ? `${integers.format(count)} B` : `${integers.format(count / 1000)} kB`;
}

/** A time of today as such, any other with its day. */
export function moment(time) {
  const date = new Date(time);
  return (date.toDateString() === new Date().toDateString() ? times : moments).format(date);
}

export function list(words) {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}
