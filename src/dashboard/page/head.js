// The head of the page: the server writes it into the page, and this script follows what changes.

import { settings } from './choice.js';
import { POLL_EVERY_MS, get } from './connection.js';
import { hasDays, said } from './data.js';
import { $ } from './words.js';

const place = $('head');
/** A sentence changes at midnight at most, and the number of days is no reason to hurry. */
const EVERY_MS = 500;

export const head = {
  version: place.dataset.version,
  unit: place.dataset.unit,
  hasNormals: place.dataset.normals === 'true',
  hasStripes: $('banner').childElementCount > 0,
  next: 0,

  dueAt() {
    if (said.version === null) return null;
    if (this.unit !== settings.unit) return 0;
    return this.version === said.version ? null : this.next;
  },

  async draw() {
    const news = JSON.parse(await get(`api/head?unit=${settings.unit}`));
    [this.version, this.unit] = [news.version, settings.unit];
    this.next = performance.now() + EVERY_MS;
    this.hasNormals = news.has_normals;
    this.hasStripes = news.banner !== null;
    document.title = news.month ? `${news.title} · ${news.month}` : news.title;
    for (const name of ['title', 'coordinates', 'span', 'sentence', 'progress', 'normal', 'attribution']) {
      const text = news[name] ?? '';
      if ($(name).textContent !== text) $(name).textContent = text;
    }
    this.showBanner(news.banner);
    showSections();
  },

  showBanner(text) {
    if (this.banner === text) return;
    this.banner = text;
    const drawn = text && new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
    $('banner').replaceChildren(...(drawn ? [document.importNode(drawn, true)] : []));
  },

  retryLater() {
    this.next = performance.now() + POLL_EVERY_MS;
  },
};

/** Shows the sections that there is something for. */
export function showSections() {
  document.querySelectorAll('.picture').forEach((section) => {
    section.hidden = !hasDays() || (section.id === 'stripes' && !head.hasStripes);
  });
  document.querySelectorAll('header nav a').forEach((link) => { link.hidden = $(link.hash.slice(1)).hidden; });
  // Without the stripes next to them, the records have the whole width.
  $('records').classList.toggle('wide', !head.hasStripes);
  $('colours').hidden = !head.hasNormals;
}
