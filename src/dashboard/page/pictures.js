// The pictures: the server draws them, and the page asks for them and takes over what has changed.

import { choose, press, settings } from './choice.js';
import { POLL_EVERY_MS, get } from './connection.js';
import { hasDays, rows, said } from './data.js';
import { head } from './head.js';
import { showTip, tooltip } from './tooltip.js';
import { MONTHS, $, element } from './words.js';

/** A picture takes at most this part of the time. */
const SHARE = 0.1;

/** Something on the page that is drawn again when what it shows has changed, and paced by what that takes. */
export class Drawn {
  constructor(figure) {
    this.figure = figure;
    this.isVisible = false;
    /** What is drawn, of which version, and when another version may be drawn. */
    this.shown = null;
    this.version = null;
    this.next = 0;
    /** How long it took when it changed last, in ms. */
    this.cost = 0;
    /** When what failed is tried again. */
    this.retryAt = null;
  }

  /** The kind of picture; that of the heat map changes. */
  get name() {
    return this.figure.dataset.picture;
  }

  /** When it is to be drawn; nothing where it is as it should be. */
  dueAt() {
    if (!hasDays() || !this.isWanted()) return null;
    // The reader's choice does not wait.
    if (this.choice() !== this.shown) return this.retryAt ?? 0;
    return this.version === said.version ? null : this.next;
  }

  /** What it depends on beside the version. */
  choice() {
    return [this.name, settings.unit, this.name === 'history' && chosenMonth(), this.width()].join();
  }

  async draw() {
    const [choice, drawnVersion] = [this.choice(), said.version];
    const change = await this.fetch();
    const began = performance.now();
    if (change) {
      change();
      // Asked for, the layout is made now, and counts.
      this.figure.getBoundingClientRect();
      this.cost = performance.now() - began;
    }
    [this.shown, this.version, this.retryAt] = [choice, drawnVersion, null];
    this.next = began + this.cost / SHARE;
  }

  retryLater() {
    this.retryAt = this.next = performance.now() + POLL_EVERY_MS;
  }
}

class Picture extends Drawn {
  constructor(figure) {
    super(figure);
    this.text = null;
    this.current = null;
    /** Whether it came without its tips. */
    this.isBare = false;
    /** The tips, by year and month, and the query and the text of the picture that they belong to. */
    this.tips = { query: null, text: null, byMonth: {} };
  }

  query(more = {}) {
    const query = new URLSearchParams({ unit: settings.unit, ...more });
    if (this.name === 'history') query.set('month', chosenMonth());
    return query;
  }

  /** In steps, so that a window that is resized asks less often. */
  width() {
    return Math.floor(this.figure.clientWidth / 20) * 20;
  }

  isWanted() {
    if (this.width() === 0) return false;
    if (this.name === 'history' && !recorded().has(chosenMonth())) return false;
    // Once, to be there when it comes into sight. That of the year tells, too, which months there are.
    return this.isVisible || this.shown === null || (this.name === 'year' && !recorded().has(chosenMonth()));
  }

  async fetch() {
    const text = await get(this.path(this.width()));
    showLinks(this);
    return text === this.text ? null : () => this.show(text);
  }

  path(width) {
    return `plot/${this.name}.svg?${this.query({ width, bare: '' })}`;
  }

  show(text) {
    const drawn = new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
    if (drawn.nodeName !== 'svg') throw new Error(`${this.name} is not an SVG`);
    const held = this.marks().find((mark) => mark === document.activeElement);
    if (held) this.current = this.keyOf(held);
    this.prepare(drawn);
    if (this.svg()) morph(this.svg(), drawn);
    else this.figure.replaceChildren(document.importNode(drawn, true));
    this.text = text;
    // It may be another element now, as where a month has come before it.
    if (held) this.figure.querySelector('[tabindex]')?.focus({ preventScroll: true });
    if (this.figure.contains(tooltip.mark)) this.loadTips();
    if (this.figure.contains(tooltip.mark)) showTip(tooltip.mark);
    if (this.name === 'year') showMonth();
  }

  /** Draws it as wide as paper wants it, whatever the screen. A browser prints at once, and waits for no other request. */
  showForPaper() {
    const width = this.figure.closest('section').classList.contains('wide') ? 1280 : 640;
    if (!this.svg() || this.width() === width) return;
    const request = new XMLHttpRequest();
    request.open('GET', this.path(width), false);
    try {
      request.send();
      if (request.status === 200) this.show(request.responseText);
    } catch {
      // That of the screen is printed.
    }
  }

  showForScreen() {
    this.shown = null;
  }

  clear(words = '') {
    this.figure.replaceChildren(words);
    [this.text, this.shown] = [null, null];
  }

  svg() {
    return this.figure.querySelector('svg');
  }

  marks() {
    return [...this.figure.querySelectorAll('[data-tip]')];
  }

  /** Fetches the tips that the picture came without, once a reader points at it. */
  async loadTips() {
    const { text, tips } = this;
    if (!this.isBare || tips.text === text) return;
    tips.text = text;
    const query = String(this.query());
    try {
      this.tips = { query, text, byMonth: JSON.parse(await get(`plot/${this.name}.tips?${query}`)) };
    } catch {
      // The next pointer tries again.
      tips.text = null;
      return;
    }
    this.showTips(this.marks());
    if (this.figure.contains(tooltip.mark)) showTip(tooltip.mark);
  }

  /** Gives marks their tips or, as long as those are not there, the names of their months. */
  showTips(marks) {
    const known = this.tips.query === String(this.query()) ? this.tips.byMonth : {};
    for (const mark of marks) {
      const { year, month } = mark.dataset;
      mark.dataset.tip = known[`${year}-${month}`] ?? `${MONTHS[month - 1]} ${year.padStart(4, '0')}`;
      if (mark.hasAttribute('aria-label')) makeStop(mark);
    }
  }

  /** A mark of this year is the same one in the next year. */
  keyOf({ dataset: { year, month } }) {
    return { year: month, anomalies: `${year}-${month}`, heatmap: `${year}-${month}` }[this.name] ?? year;
  }

  /** One mark is in the tab order, and the only one that a screen reader meets; the arrow keys move to the others. */
  prepare(svg) {
    const [title, description] = ['title', 'desc'].map((name) => svg.querySelector(`:scope > ${name}`));
    svg.setAttribute('role', 'group');
    if (title) svg.setAttribute('aria-label', title.textContent);
    if (description) {
      description.id = `${this.name}-description`;
      svg.setAttribute('aria-describedby', description.id);
    }
    // They would be tooltips of the browser's.
    svg.querySelectorAll('title').forEach((title) => title.remove());
    svg.querySelectorAll('text').forEach((text) => text.setAttribute('aria-hidden', 'true'));
    const marks = [...svg.querySelectorAll('[data-year]')];
    this.isBare = marks.some((mark) => mark.dataset.tip === undefined);
    if (this.isBare) this.showTips(marks);
    const current = marks.find((mark) => this.keyOf(mark) === this.current) ?? marks[0];
    if (current) makeStop(current);
  }

  moveTo(mark) {
    this.marks().filter((other) => other.hasAttribute('tabindex')).forEach(unmakeStop);
    makeStop(mark);
    this.current = this.keyOf(mark);
    mark.focus();
  }

  /** The mark that a key leads to from `mark`. */
  reached(key, mark) {
    const marks = this.marks();
    const index = marks.indexOf(mark);
    if (key === 'Home') return marks[0];
    if (key === 'End') return marks.at(-1);
    if (['anomalies', 'heatmap'].includes(this.name)) return neighbour(marks, mark, key);
    if (key === 'ArrowLeft' || key === 'ArrowUp') return marks[index - 1];
    if (key === 'ArrowRight' || key === 'ArrowDown') return marks[index + 1];
    return undefined;
  }
}

function makeStop(mark) {
  mark.setAttribute('tabindex', '0');
  mark.setAttribute('role', mark.dataset.month ? 'button' : 'img');
  mark.setAttribute('aria-label', mark.dataset.tip);
}

function unmakeStop(mark) {
  ['tabindex', 'role', 'aria-label'].forEach((name) => mark.removeAttribute(name));
}

/** In a grid: the nearest in the same row or column. */
function neighbour(marks, mark, key) {
  const middle = (mark) => {
    const { x, y, width, height } = mark.getBoundingClientRect();
    return [x + width / 2, y + height / 2];
  };
  const [x, y] = middle(mark);
  const ahead = {
    ArrowLeft: (dx, dy) => [-dx, dy], ArrowRight: (dx, dy) => [dx, dy],
    ArrowUp: (dx, dy) => [-dy, dx], ArrowDown: (dx, dy) => [dy, dx],
  }[key];
  const found = ahead && marks.map((mark) => {
    const [markX, markY] = middle(mark);
    const [distance, aside] = ahead(markX - x, markY - y);
    return { mark, distance, aside: Math.abs(aside) };
  });
  return found?.filter(({ distance, aside }) => distance > 0.5 && aside < 1)
    .reduce((nearest, other) => (nearest && nearest.distance <= other.distance ? nearest : other), undefined)?.mark;
}

/** Makes `from` like `to` by as few changes as there are, so that nothing flickers, and focus stays where it is. */
function morph(from, to) {
  // Most of a large picture is, and the browser sees that far sooner than the loops below.
  if (from.isEqualNode(to)) return;
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  const [had, has] = [[...from.childNodes], [...to.childNodes]];
  has.forEach((child, index) => {
    const old = had[index];
    if (old === undefined) from.append(document.importNode(child, true));
    else if (old.nodeName !== child.nodeName) old.replaceWith(document.importNode(child, true));
    else if (child.nodeType === Node.ELEMENT_NODE) morph(old, child);
    else if (old.data !== child.data) old.data = child.data;
  });
  had.slice(has.length).forEach((node) => node.remove());
}

export const pictures = [...document.querySelectorAll('figure')].map((figure) => new Picture(figure));
const picture = (name) => pictures.find((picture) => picture.figure.closest('section').id === name);
export const pictureAt = (node) => pictures.find(({ figure }) => figure.contains(node));

// The colours of the heat map

/** Without a normal there are only temperatures. */
export function showColours() {
  const colours = head.hasNormals ? settings.colours : 'heatmap';
  picture('anomalies').figure.dataset.picture = colours;
  $('anomalies-title').textContent = colours === 'heatmap' ? 'Every month of every year' : 'Every month against its normal';
  press('colours', colours);
}

// Links to a picture, and its files

function showLinks(picture) {
  const { name, figure } = picture;
  const query = picture.query();
  const section = figure.closest('section');
  const line = section.querySelector('.links') ?? element('p', { className: 'links' });
  if (!line.isConnected) section.append(line);
  const page = new URLSearchParams(query);
  if (name === 'heatmap') page.set('colours', name);
  const file = name === 'history' ? `history-${chosenMonth()}` : name;
  const links = ['svg', 'png', 'csv'].map((format) => element('a', {
    href: `plot/${name}.${format}?${query}`, download: `${file}.${format}`, textContent: format.toUpperCase(),
  }));
  links.push(element('a', { href: `?${page}#${section.id}`, textContent: 'Link' }));
  const isSame = links.every((link, index) => line.children[index]?.isEqualNode(link));
  if (!isSame) line.replaceChildren(...links.flatMap((link) => [link, ' ']).slice(0, -1));
}

// The month of the history

/** The months that are recorded, as the picture of the year has them. */
function recorded() {
  return new Set(picture('year').marks().map((mark) => MONTHS[mark.dataset.month - 1]));
}

/** The reader's, or else that of the newest day when the page came; it does not run on with the stream. */
let firstMonth = null;
export function chosenMonth() {
  if (settings.month) return settings.month;
  const newest = rows().map((row) => row.newest).filter(Boolean).sort().at(-1);
  if (newest) firstMonth ??= MONTHS[Number(newest.slice(5, 7)) - 1];
  return firstMonth ?? MONTHS[0];
}

export function showMonth() {
  const months = recorded();
  const select = $('month');
  for (const option of select.options) option.disabled = !months.has(option.value);
  select.value = chosenMonth();
  const isRecorded = months.size === 0 || months.has(chosenMonth());
  const shown = picture('history');
  shown.figure.classList.toggle('empty', !isRecorded);
  if (!isRecorded) shown.clear(noMonth());
  else if (!shown.svg()) shown.clear();
}

function noMonth() {
  const isAllRead = rows().every((row) => row.state !== 'unreadable');
  return isAllRead ? `No ${chosenMonth()} is recorded yet.` : `No ${chosenMonth()} is in what can be read.`;
}

export function stepMonth(step) {
  const months = MONTHS.filter((month) => recorded().has(month) || month === chosenMonth());
  choose({ month: months.at((months.indexOf(chosenMonth()) + step) % months.length) });
}
