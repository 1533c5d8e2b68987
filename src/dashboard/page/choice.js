// The reader's choice: the URL holds unit, month and colours, and the browser keeps unit and theme.

import { MONTHS, $ } from './words.js';

/** Storage may be full or forbidden; then a choice lasts as long as the page. */
export const stored = {
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* not kept */ } },
};

export const settings = { unit: 'c', month: null, colours: 'anomalies' };

export function readUrl() {
  const query = new URLSearchParams(location.search);
  const month = query.get('month')?.toLowerCase();
  const unit = query.get('unit') ?? stored.get('almanac.unit');
  settings.unit = unit === 'f' ? 'f' : 'c';
  settings.colours = query.get('colours') === 'heatmap' ? 'heatmap' : 'anomalies';
  settings.month = MONTHS.find((name) => name.toLowerCase() === month) ?? null;
}

let chosen = () => {};

/** Calls `listener` after each choice. */
export function whenChosen(listener) {
  chosen = listener;
}

export function choose(choice) {
  const url = new URL(location.href);
  Object.entries(choice).forEach(([key, value]) => url.searchParams.set(key, value));
  if (url.href !== location.href) history.pushState(null, '', url);
  if (choice.unit) stored.set('almanac.unit', choice.unit);
  chosen();
}

export function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  press('theme', theme);
}

export function press(group, value) {
  for (const button of $(group).children) button.setAttribute('aria-pressed', String(button.value === value));
}

export function degrees(celsius) {
  const value = settings.unit === 'f' ? celsius * 1.8 + 32 : celsius;
  return value.toFixed(1).replace(/^-0\.0$/, '0.0').replace('-', '−');
}

/** A difference between two temperatures, with its sign. */
export function difference(celsius) {
  const value = (settings.unit === 'f' ? celsius * 1.8 : celsius).toFixed(1).replace(/^-0\.0$/, '0.0');
  return value.startsWith('-') ? value.replace('-', '−') : `+${value}`;
}
