// The table of the partitions, and what they make together.

import { rows } from './data.js';
import { showSections } from './head.js';
import { showNotices } from './notices.js';
import { $, UNKNOWN, bytes, duration, element, integer, integers, known, sum, tenths } from './words.js';

const COLUMNS = [
  ['Partition', (row) => element('a', { href: `partition-${row.partition}.json`, textContent: String(row.partition) })],
  ['State', (row) => element('span', { className: `state ${row.state}`, textContent: row.state }), 'text'],
  ['Offset', (row) => integer(row.offset)],
  ['Lag', (row) => integer(row.lag)],
  ['Rate', (row) => known(row.rate, (rate) => `${(rate < 10 ? tenths : integers).format(rate)}/s`)],
  ['Newest day', (row) => row.newest ?? UNKNOWN],
  ['Freshness', (row) => known(row.freshness_seconds, (seconds) => (seconds < 1 ? 'now' : duration(seconds)))],
  ['Days', (row) => integer(row.days)],
  ['Counted', (row) => integer(row.consumer?.counted)],
  ['Duplicates', (row) => integer(row.consumer?.duplicates)],
  ['Rejected', (row) => integer(row.rejected ?? row.consumer?.rejected)],
  ['Checkpoint', (row) => `${known(row.bytes, bytes)}, ${known(row.consumer?.checkpoint_seconds, duration)}`],
  ['Owner', (row) => known(row.consumer?.owner, (owner) => `${owner.pid} on ${owner.host}`), 'text'],
];

export function showPartitions() {
  const all = rows();
  showNotices(all);
  $('partitions').hidden = all.length === 0;
  showSections();
  const body = $('partitions-table').querySelector('tbody') ?? partitionsTable();
  while (body.rows.length > all.length) body.lastChild.remove();
  all.forEach((row, index) => showRow(body.rows[index] ?? body.appendChild(emptyRow()), row));

  const total = (value) => integer(sum(all.map((row) => value(row) ?? null)));
  showTotals([
    ['counted', total((row) => row.consumer?.counted)], ['duplicates', total((row) => row.consumer?.duplicates)],
    ['rejected', total((row) => row.consumer?.rejected)], ['lag', total((row) => row.lag)],
    ['records a second', total((row) => row.rate)],
  ]);
}

/** As cards on a narrow screen it would be no table any more to a screen reader, if the roles were not said. */
function partitionsTable() {
  const head = element('tr', { role: 'row' }, ...COLUMNS.map(([name, , className = '']) =>
    element('th', { scope: 'col', role: 'columnheader', className, textContent: name })));
  const body = element('tbody', { role: 'rowgroup' });
  const table = element('table', { role: 'table' }, element('thead', { role: 'rowgroup' }, head), body);
  table.setAttribute('aria-labelledby', 'partitions-title');
  $('partitions-table').replaceChildren(table);
  return body;
}

function emptyRow() {
  const cells = COLUMNS.map(([name, , className = ''], index) => {
    const [tag, role] = index === 0 ? ['th', 'rowheader'] : ['td', 'cell'];
    const cell = element(tag, { role, className });
    cell.dataset.label = name;
    return cell;
  });
  return element('tr', { role: 'row' }, ...cells);
}

function showRow(tr, row) {
  COLUMNS.forEach(([, write], index) => {
    const [cell, content] = [tr.cells[index], write(row)];
    const old = cell.firstChild;
    if (content instanceof Element && old?.isEqualNode(content)) return;
    if (old === null || content instanceof Element || old.nodeType !== Node.TEXT_NODE) cell.replaceChildren(content);
    else if (old.data !== content) old.data = content;
  });
}

function showTotals(totals) {
  const place = $('totals');
  if (place.children.length === 0) {
    place.append(...totals.map(([name]) => element('div', {}, element('dt', { textContent: name }), element('dd'))));
  }
  totals.forEach(([, value], index) => {
    const figure = place.children[index].lastChild;
    if (figure.textContent !== value) figure.textContent = value;
  });
}
