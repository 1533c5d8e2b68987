// The same values as tables.

import { degrees, settings } from './choice.js';
import { get } from './connection.js';
import { Drawn, chosenMonth } from './pictures.js';
import { MONTHS, element, known } from './words.js';

/** Open where the reader opened it; only then is there a table. */
export class Values extends Drawn {
  constructor(picture, redraw) {
    super(picture.figure);
    this.picture = picture;
    const name = picture.figure.closest('section').querySelector('h2').textContent;
    this.place = element('div', { tabIndex: 0, role: 'region' });
    this.place.setAttribute('aria-label', `${name}: values`);
    const summary = element('summary', { textContent: 'Values as a table' });
    this.details = element('details', { ontoggle: redraw }, summary, this.place);
    this.figure.after(this.details);
  }

  width() {
    return null;
  }

  isWanted() {
    // The stripes' values are the picture's own.
    return this.details.open && (this.name !== 'stripes' || this.picture.svg() !== null);
  }

  choice() {
    return this.name === 'stripes' ? this.picture.text : super.choice();
  }

  async fetch() {
    if (this.name === 'stripes') return () => this.show(stripesTable(this.picture.marks()));
    const { months } = JSON.parse(await get('api/months'));
    const table = { months: monthsTable, history: historyTable, heatmap: heatmapTable }[this.name];
    return () => this.show(table(months));
  }

  show([heads, ...lines]) {
    const head = (scope, text) => element('th', { scope, textContent: text });
    const cell = (text, index) => (index === 0 ? head('row', text) : element('td', { textContent: text }));
    this.place.replaceChildren(element('table', {},
      element('thead', {}, element('tr', {}, ...heads.map((text) => head('col', text)))),
      element('tbody', {}, ...lines.map((line) => element('tr', {}, ...line.map(cell))))));
  }
}

const CELL_HEADS = () => [`Average °${settings.unit.toUpperCase()}`, 'Minimum', 'Maximum', 'Days', 'Missing'];

function cellValues({ avg, min, max, count, missing }) {
  const days = missing.map((date) => Number(date.slice(8)));
  const shown = days.length > 8 ? `${days.slice(0, 8).join(', ')}, …` : days.join(', ');
  return [degrees(avg), degrees(min), degrees(max), String(count), days.length ? `${days.length}: ${shown}` : ''];
}

function monthsTable(months) {
  const latest = new Map();
  months.forEach((cell) => { if (!(latest.get(cell.month)?.year > cell.year)) latest.set(cell.month, cell); });
  const found = MONTHS.filter((month) => latest.has(month)).map((month) => latest.get(month));
  return [['Month', ...CELL_HEADS()], ...found.map((cell) => [`${cell.month} ${cell.year}`, ...cellValues(cell)])];
}

function historyTable(months) {
  const found = months.filter((cell) => cell.month === chosenMonth()).sort((a, b) => a.year - b.year);
  return [[`${chosenMonth()} of`, ...CELL_HEADS()], ...found.map((cell) => [String(cell.year), ...cellValues(cell)])];
}

function heatmapTable(months) {
  const years = new Map();
  for (const cell of months) {
    if (!years.has(cell.year)) years.set(cell.year, new Map());
    years.get(cell.year).set(cell.month, cell.avg);
  }
  const found = [...years].sort(([a], [b]) => a - b);
  return [
    [`°${settings.unit.toUpperCase()}`, ...MONTHS.map((month) => month.slice(0, 3))],
    ...found.map(([year, cells]) => [String(year), ...MONTHS.map((month) => known(cells.get(month), degrees))]),
  ];
}

function stripesTable(marks) {
  const lines = marks.map(({ dataset: { tip } }) => [tip.split(': ', 1)[0], tip.slice(tip.indexOf(': ') + 2)]);
  return [['Year', 'Difference from the mean'], ...lines];
}
