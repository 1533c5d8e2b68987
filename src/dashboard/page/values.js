// The same values as tables.

import { degrees, difference, settings } from './choice.js';
import { get } from './connection.js';
import { Drawn, chosenMonth } from './pictures.js';
import { MONTHS, UNKNOWN, element, known } from './words.js';

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
    // Some values are the picture's own.
    return this.details.open && (!FROM_MARKS[this.name] || this.picture.svg() !== null);
  }

  choice() {
    return FROM_MARKS[this.name] ? this.picture.text : super.choice();
  }

  async fetch() {
    const ofMarks = FROM_MARKS[this.name];
    if (ofMarks) return () => this.show(tipsTable(ofMarks, this.picture.marks()));
    const { months } = JSON.parse(await get('api/months'));
    const table = { year: yearTable, history: historyTable, heatmap: heatmapTable, anomalies: anomaliesTable }[this.name];
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

const CELL_HEADS = () => [`Average °${settings.unit.toUpperCase()}`, 'Against normal', 'Warmest day', 'Coldest day', 'Days', 'Missing'];

function cellValues({ avg, anomaly, min, min_date: minDate, max, max_date: maxDate, count, missing, ...month }) {
  const days = missing.map((date) => Number(date.slice(8)));
  const shown = days.length > 8 ? `${days.slice(0, 8).join(', ')}, …` : days.join(', ');
  const dayOf = (value, date) => (date ? `${degrees(value)} on ${Number(date.slice(8))}` : degrees(value));
  const isWhole = month.coverage === 'complete';
  const counted = isWhole ? String(count) : `${count} of ${month.expected_days}`;
  return [isWhole ? degrees(avg) : `${degrees(avg)} so far`, known(anomaly, difference), dayOf(max, maxDate), dayOf(min, minDate),
    counted, days.length ? `${days.length}: ${shown}` : ''];
}

const FROM_MARKS = { stripes: ['Year', 'Difference from the mean'], records: ['Record', 'Degrees and date'] };

function yearTable(months) {
  const latest = new Map();
  months.forEach((cell) => { if (!(latest.get(cell.month)?.year > cell.year)) latest.set(cell.month, cell); });
  const found = MONTHS.filter((month) => latest.has(month)).map((month) => latest.get(month));
  return [['Month', ...CELL_HEADS()], ...found.map((cell) => [`${cell.month} ${cell.year}`, ...cellValues(cell)])];
}

function historyTable(months) {
  const found = months.filter((cell) => cell.month === chosenMonth()).sort((a, b) => a.year - b.year);
  return [[`${chosenMonth()} of`, ...CELL_HEADS()], ...found.map((cell) => [String(cell.year), ...cellValues(cell)])];
}

const heatmapTable = (months) => everyYear(months, (cell) => (cell.coverage === 'complete' ? degrees(cell.avg) : `(${degrees(cell.avg)})`));
const anomaliesTable = (months) => everyYear(months, (cell) => known(cell.anomaly, difference));

/** A line for each year; a month that is not whole stands in brackets. */
function everyYear(months, write) {
  const years = new Map();
  for (const cell of months) {
    if (!years.has(cell.year)) years.set(cell.year, new Map());
    years.get(cell.year).set(cell.month, write(cell));
  }
  const found = [...years].sort(([a], [b]) => a - b);
  return [
    [`°${settings.unit.toUpperCase()}`, ...MONTHS.map((month) => month.slice(0, 3))],
    ...found.map(([year, cells]) => [String(year), ...MONTHS.map((month) => cells.get(month) ?? UNKNOWN)]),
  ];
}

function tipsTable(heads, marks) {
  const lines = marks.map(({ dataset: { tip } }) => [tip.split(': ', 1)[0], tip.slice(tip.indexOf(': ') + 2)]);
  return [heads, ...lines];
}
