// The page of `almanac dashboard`: shows what the server says of DIR, and follows it as it changes.
//
// The pictures are the server's; this script fetches them, and adds tooltips and keys. What the reader chose stands in
// the URL, so that a link shows the same.

const MONTHS = [
  'January', 'February', 'March', 'April', 'May', 'June',
  'July', 'August', 'September', 'October', 'November', 'December',
];
const POLL_EVERY_MS = 2000;
const ANSWER_WITHIN_MS = 5000;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 2000;
/** A picture takes at most this part of the time. */
const SHARE = 0.1;

const $ = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Words and numbers

const UNKNOWN = '–';
const TAGLINE = $('summary').textContent;
const integers = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const times = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const moments = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

const known = (value, write) => (value === null || value === undefined ? UNKNOWN : write(value));
const integer = (value) => known(value, (value) => integers.format(value));
/** Unknown if a part of it is. */
const sum = (values) => (values.some((value) => value === null) ? null : values.reduce((total, value) => total + value, 0));

function degrees(celsius) {
  const value = settings.unit === 'f' ? celsius * 1.8 + 32 : celsius;
  return value.toFixed(1).replace(/^-0\.0$/, '0.0').replace('-', '−');
}

function duration(seconds) {
  if (seconds < 1) return `${integers.format(seconds * 1000)} ms`;
  if (seconds < 120) return `${integers.format(seconds)} s`;
  if (seconds < 7200) return `${integers.format(seconds / 60)} min`;
  if (seconds < 172800) return `${integers.format(seconds / 3600)} h`;
  return `${integers.format(seconds / 86400)} days`;
}

function bytes(count) {
  return count < 10_000 ? `${integers.format(count)} B` : `${integers.format(count / 1000)} kB`;
}

/** A time of today as such, any other with its day. */
function moment(time) {
  const date = new Date(time);
  return (date.toDateString() === new Date().toDateString() ? times : moments).format(date);
}

function list(words) {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

// What the reader chose

/** Storage may be full or forbidden; then a choice lasts as long as the page. */
const stored = {
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* not kept */ } },
};

const settings = { unit: 'c', month: null };

function readUrl() {
  const query = new URLSearchParams(location.search);
  const month = query.get('month')?.toLowerCase();
  const unit = query.get('unit') ?? stored.get('almanac.unit');
  settings.unit = unit === 'f' ? 'f' : 'c';
  settings.month = MONTHS.find((name) => name.toLowerCase() === month) ?? null;
}

function choose(choice) {
  const url = new URL(location.href);
  Object.entries(choice).forEach(([key, value]) => url.searchParams.set(key, value));
  if (url.href !== location.href) history.pushState(null, '', url);
  if (choice.unit) stored.set('almanac.unit', choice.unit);
  apply();
}

function apply() {
  readUrl();
  press('unit', settings.unit);
  showMonth();
  draw();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  press('theme', theme);
}

function press(group, value) {
  for (const button of $(group).children) button.setAttribute('aria-pressed', String(button.value === value));
}

// What the server said

/** Partitions by number, as the latest answer or event has them. */
const partitions = new Map();
let version = null;
let failure = null;

const rows = () => [...partitions.values()].sort((a, b) => a.partition - b.partition);
const hasDays = () => rows().some((row) => row.days > 0);

function take(said) {
  failure = said.failure ?? null;
  said.gone?.forEach((number) => partitions.delete(number));
  said.partitions.forEach((row) => partitions.set(row.partition, row));
  version = said.version;
  // A picture is asked for before anything else is done, which then takes no time of its own.
  draw();
  showPartitions();
  if (!hasDays()) pictures.forEach((picture) => picture.clear());
  draw();
}

// The connection

const connection = { stream: null, isAnswering: null, heard: null, failures: 0, opened: 0, retry: null, events: 0 };

/** No answer, or not the one that was asked for. */
class Unanswered extends Error {}

async function get(path) {
  try {
    const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    if (answer.ok) return await answer.text();
    throw new Error(`${answer.status} ${answer.statusText}`);
  } catch (error) {
    throw new Unanswered(`${path}: ${error.message}`);
  }
}

/** Asks, then listens for what comes after the answer; so nothing is missed, whatever server is there by now. */
async function connect() {
  clearTimeout(connection.retry);
  if (document.hidden || !(await poll()) || document.hidden) return;
  connection.stream?.close();
  const stream = new EventSource(`api/events?since=${encodeURIComponent(version)}`);
  connection.stream = stream;
  stream.onopen = () => {
    connection.opened = Date.now();
    heard();
  };
  stream.onmessage = (event) => {
    connection.events += 1;
    heard();
    const said = JSON.parse(event.data);
    said.partitions.forEach((row) => { row.event = connection.events; });
    take(said);
  };
  // The browser would try again by itself, but not always, and after seconds.
  stream.onerror = lost;
}

/** Whether there was an answer. */
async function poll() {
  const { events } = connection;
  let said;
  try {
    said = JSON.parse(await get('api/partitions'));
  } catch {
    connection.isAnswering = false;
    lost();
    return false;
  }
  connection.isAnswering = true;
  heard();
  // What was pushed meanwhile is newer.
  const isNewer = (number) => partitions.get(number)?.event > events;
  [...partitions.keys()].filter((number) => !isNewer(number)).forEach((number) => partitions.delete(number));
  take({
    ...said,
    partitions: said.partitions.filter((row) => !isNewer(row.partition)),
    version: events === connection.events ? said.version : version,
  });
  return true;
}

function heard() {
  connection.heard = Date.now();
  showConnection();
}

function lost() {
  disconnect();
  const lasted = Date.now() - connection.opened > ANSWER_WITHIN_MS;
  connection.failures = lasted && connection.isAnswering ? 1 : connection.failures + 1;
  connection.retry = setTimeout(connect, Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (connection.failures - 1)));
  showConnection();
}

/** A page that nobody sees holds no connection: browsers allow a site only six. */
function disconnect() {
  clearTimeout(connection.retry);
  connection.stream?.close();
  connection.stream = null;
}

function showConnection() {
  const { stream, isAnswering, heard, failures } = connection;
  if (stream?.readyState === EventSource.OPEN && isAnswering) say('live', 'live');
  else if (isAnswering === false) say('stale', `${heard ? `stale since ${moment(heard)}` : 'no answer'}, trying again`);
  else if (failures > 0) say('reconnecting', 'reconnecting');
}

function say(state, text) {
  const place = $('connection');
  place.dataset.state = state;
  if (place.textContent !== text) place.textContent = text;
}

// Partitions

const COLUMNS = [
  ['Partition', (row) => element('a', { href: `partition-${row.partition}.json`, textContent: String(row.partition) })],
  ['State', (row) => element('span', { className: `state ${row.state}`, textContent: row.state }), 'text'],
  ['Offset', (row) => integer(row.offset)],
  ['Lag', (row) => integer(row.lag)],
  ['Rate', (row) => known(row.rate, (rate) => `${(rate < 10 ? tenths : integers).format(rate)}/s`)],
  ['Newest day', (row) => row.newest ?? UNKNOWN],
  ['Freshness', (row) => known(row.freshness_seconds, (seconds) => (seconds < 1 ? 'now' : duration(seconds)))],
  ['Days', (row) => integer(row.days)],
  ['Counted', (row) => integer(row.counted)],
  ['Duplicates', (row) => integer(row.duplicates)],
  ['Rejected', (row) => integer(row.rejected_total ?? row.rejected)],
  ['Checkpoint', (row) => `${known(row.checkpoint_bytes, bytes)}, ${known(row.checkpoint_seconds, duration)}`],
  ['Owner', (row) => known(row.owner, (owner) => `${owner.pid} on ${owner.host}`), 'text'],
];

function showPartitions() {
  const all = rows();
  showSummary(all);
  showNotices(all);
  document.querySelectorAll('.picture').forEach((section) => { section.hidden = !hasDays(); });
  $('partitions').hidden = all.length === 0;
  const body = $('partitions-table').querySelector('tbody') ?? partitionsTable();
  while (body.rows.length > all.length) body.lastChild.remove();
  all.forEach((row, index) => showRow(body.rows[index] ?? body.appendChild(emptyRow()), row));

  const total = (field) => integer(sum(all.map((row) => row[field])));
  showTotals([
    ['counted', total('counted')], ['duplicates', total('duplicates')], ['rejected', total('rejected')],
    ['lag', total('lag')], ['records a second', total('rate')],
  ]);
}

function showSummary(all) {
  const newest = all.map((row) => row.newest).filter(Boolean).sort().at(-1);
  const days = sum(all.map((row) => row.days ?? 0));
  const text = newest ? `${integers.format(days)} ${days === 1 ? 'day' : 'days'}, the newest ${newest}` : TAGLINE;
  if ($('summary').textContent !== text) $('summary').textContent = text;
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

// What to look at

function showNotices(all) {
  const said = notices(all).map(([tone, title, text]) => {
    const paragraphs = text.split('\n').map((line) => element('p', {}, ...withCode(line)));
    return element('div', { className: tone }, element('strong', { textContent: title }), ...paragraphs);
  });
  const place = $('notices');
  const isSame = said.length === place.children.length
    && said.every((notice, index) => notice.isEqualNode(place.children[index]));
  // A screen reader would say it again.
  if (!isSame) place.replaceChildren(...said);
}

/** As [tone, title, text]. Nothing in here counts seconds: it is read out whenever it changes. */
function notices(all) {
  if (failure) return [['bad', 'The directory can’t be read', failure]];
  if (all.length === 0) {
    return [['plain', 'Nothing is here yet', 'There is no checkpoint in the directory. `almanac consumer` writes them, '
      + 'from what `almanac producer` sends; `almanac up` starts everything.']];
  }
  const unreadable = all.filter((row) => row.state === 'unreadable');
  const found = unreadable.map((row) => ['bad', `Partition ${row.partition} can’t be read`, row.failure ?? '']);
  for (const [state, tone, title, text] of STANDSTILLS) {
    const rows = all.filter((row) => row.state === state);
    const numbers = list(rows.map((row) => row.partition));
    const subject = rows.length === 1 ? `Partition ${numbers} is` : `Partitions ${numbers} are`;
    if (rows.length > 0) found.push([tone, `${subject} ${title}`, text(rows)]);
  }
  if (found.length === 0 && !hasDays()) {
    found.push(['plain', 'No day is counted yet', 'A consumer waits for records. `almanac producer` sends some.']);
  }
  return found;
}

const STANDSTILLS = [
  ['waiting', 'doubt', 'waiting', (rows) => `${causes(rows) || 'Nothing comes from Kafka'}. The consumer runs, and resumes by `
    + 'itself once that is over.'],
  ['stalled', 'doubt', 'stalled', (rows) => 'There is something to count, and no checkpoint of it'
    + `${since(rows, 'stalled_since')}. ${causes(rows) || 'What the consumer says on its stderr has the reason'}.`],
  ['silent', 'doubt', 'silent', (rows) => `The consumer has said nothing${since(rows, 'written')}: killed, paused, `
    + `or without a disk. ${resume(rows)} goes on where the checkpoint ends.`],
  ['stopped', 'plain', 'stopped', (rows) => `The consumer has ended in good order. ${resume(rows)} goes on.`],
  ['unknown', 'plain', 'without a consumer', (rows) => `No consumer has said anything. ${resume(rows)} starts one.`],
];

function causes(rows) {
  return list([...new Set(rows.map((row) => row.cause).filter(Boolean))]);
}

function since(rows, field) {
  const first = rows.map((row) => row[field]).filter(Boolean).sort()[0];
  return first ? ` since ${moment(first)}` : '';
}

function resume(rows) {
  const numbers = rows.length === partitions.size ? '' : ` ${rows.map((row) => row.partition).join(' ')}`;
  return `\`almanac consumer${numbers}\``;
}

/** What stands between backticks, as code. */
function withCode(text) {
  return text.split('`').map((part, index) => (index % 2 ? element('code', { textContent: part }) : part));
}

// Pictures

/** Something on the page that is drawn again when what it shows has changed, and paced by what that takes. */
class Drawn {
  constructor(figure) {
    this.figure = figure;
    this.name = figure.dataset.picture;
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

  /** When it is to be drawn; nothing where it is as it should be. */
  dueAt() {
    if (!hasDays() || !this.isWanted()) return null;
    // What the reader chose is not to wait.
    if (this.choice() !== this.shown) return this.retryAt ?? 0;
    return this.version === version ? null : this.next;
  }

  /** What it depends on beside the version. */
  choice() {
    return [settings.unit, this.name === 'history' && chosenMonth(), this.width()].join();
  }

  async draw() {
    const [choice, drawnVersion] = [this.choice(), version];
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
  }

  /** In steps, so that a window that is resized asks less often. */
  width() {
    return Math.floor(this.figure.clientWidth / 20) * 20;
  }

  isWanted() {
    if (this.width() === 0) return false;
    if (this.name === 'history' && !recorded().has(chosenMonth())) return false;
    // Once, to be there when it comes into sight. That of the months tells, too, which months there are.
    return this.isVisible || this.shown === null || (this.name === 'months' && !recorded().has(chosenMonth()));
  }

  async fetch() {
    const query = new URLSearchParams({ unit: settings.unit, width: this.width() });
    if (this.name === 'history') query.set('month', chosenMonth());
    const text = await get(`plot/${this.name}.svg?${query}`);
    if (text === this.text) return null;
    return () => {
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
      if (tooltip.mark && this.figure.contains(tooltip.mark)) showTip(tooltip.mark);
      if (this.name === 'months') showMonth();
    };
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

  /** What a mark stays the same by: that of a month is, in its next year, too. */
  keyOf({ dataset: { year, month } }) {
    return { months: month, heatmap: `${year}-${month}` }[this.name] ?? year;
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
    const marks = [...svg.querySelectorAll('[data-tip]')];
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
    if (this.name === 'heatmap') return neighbour(marks, mark, key);
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

// The same values as tables

/** Open where the reader opened it; only then is there a table. */
class Values extends Drawn {
  constructor(picture) {
    super(picture.figure);
    this.picture = picture;
    const name = picture.figure.closest('section').querySelector('h2').textContent;
    this.place = element('div', { tabIndex: 0, role: 'region' });
    this.place.setAttribute('aria-label', `${name}: values`);
    const summary = element('summary', { textContent: 'Values as a table' });
    this.details = element('details', { ontoggle: draw }, summary, this.place);
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

// What is drawn when

const pictures = [...document.querySelectorAll('figure')].map((figure) => new Picture(figure));
const drawn = [...pictures, ...pictures.map((picture) => new Values(picture))];
const picture = (name) => pictures.find((picture) => picture.name === name);
const pictureAt = (node) => pictures.find(({ figure }) => figure.contains(node));
let isDrawing = false;
let drawAgain = null;

/** Draws what has changed, one at a time, so that what is cheap and stands first does not wait for long. */
async function draw() {
  if (isDrawing || !connection.isAnswering) return;
  clearTimeout(drawAgain);
  const due = drawn.map((one) => ({ one, at: one.dueAt() })).filter(({ at }) => at !== null);
  const now = performance.now();
  const next = due.find(({ at }) => at <= now)?.one;
  if (!next) {
    if (due.length > 0) drawAgain = setTimeout(draw, Math.min(...due.map(({ at }) => at)) - now);
    return;
  }
  isDrawing = true;
  try {
    await next.draw();
    arrive();
  } catch (error) {
    next.retryLater();
    // Whether the server is there shows elsewhere.
    if (!(error instanceof Unanswered)) reportError(error);
  }
  isDrawing = false;
  draw();
}

/** Whether the section that the link names is still on its way into sight: pictures above it move it as they come. */
let isArriving = location.hash !== '';
function arrive() {
  if (!isArriving) return;
  $(location.hash.slice(1))?.scrollIntoView({ behavior: 'instant' });
  isArriving = pictures.some((picture) => picture.svg() === null && picture.isWanted());
}

/** The months that are recorded, as the picture of the months has them. */
function recorded() {
  return new Set(picture('months').marks().map((mark) => MONTHS[mark.dataset.month - 1]));
}

/** The reader's, or else that of the newest day when the page came; it does not run on with the stream. */
let firstMonth = null;
function chosenMonth() {
  if (settings.month) return settings.month;
  const newest = rows().map((row) => row.newest).filter(Boolean).sort().at(-1);
  if (newest) firstMonth ??= MONTHS[Number(newest.slice(5, 7)) - 1];
  return firstMonth ?? MONTHS[0];
}

function showMonth() {
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

function stepMonth(step) {
  const months = MONTHS.filter((month) => recorded().has(month) || month === chosenMonth());
  choose({ month: months.at((months.indexOf(chosenMonth()) + step) % months.length) });
}

// Tooltips

const tooltip = { mark: null, isDismissed: false };

function showTip(mark) {
  const [place, ring] = [$('tooltip'), $('ring')];
  if (mark !== tooltip.mark) tooltip.isDismissed = false;
  tooltip.mark = mark;
  ring.hidden = !mark?.isConnected;
  place.hidden = ring.hidden || tooltip.isDismissed;
  if (ring.hidden) return;
  place.textContent = mark.dataset.tip;
  const [box, tip] = [mark.getBoundingClientRect(), place.getBoundingClientRect()];
  // Around the mark and not on it, as its neighbours would cover it, and any colour of it is lost on some ground.
  const [width, height] = [box.width, box.height].map((length) => `${length}px`);
  Object.assign(ring.style, { transform: `translate(${box.x}px, ${box.y}px)`, width, height });
  const left = Math.min(Math.max(8, box.x + box.width / 2 - tip.width / 2), innerWidth - tip.width - 8);
  const above = box.y - tip.height - 8;
  place.style.transform = `translate(${Math.round(left)}px, ${Math.round(above < 8 ? box.bottom + 8 : above)}px)`;
}

const markAt = (event) => (event.target instanceof Element ? event.target.closest('figure [data-tip]') : null);
const focused = () => document.querySelector('[data-tip]:focus-visible');

function move(event) {
  const picture = pictureAt(event.target);
  const mark = markAt(event);
  // With another key they are the browser's, as Alt and Left for the page before.
  if (!picture || !mark || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === 'Enter' || event.key === ' ') {
    event.preventDefault();
    chooseMark(mark);
    return;
  }
  const reached = picture.reached(event.key, mark);
  if (!reached && !event.key.startsWith('Arrow')) return;
  event.preventDefault();
  if (reached) picture.moveTo(reached);
}

function chooseMark(mark) {
  if (mark.dataset.month) choose({ month: MONTHS[mark.dataset.month - 1] });
}

// Begin

setTheme(stored.get('almanac.theme') ?? 'auto');
$('month').append(...MONTHS.map((month) => element('option', { value: month, textContent: month })));

$('unit').addEventListener('click', ({ target }) => { if (target.value) choose({ unit: target.value }); });
$('theme').addEventListener('click', ({ target }) => {
  if (!target.value) return;
  stored.set('almanac.theme', target.value);
  setTheme(target.value);
});
$('month').addEventListener('change', ({ target }) => choose({ month: target.value }));
$('month-before').addEventListener('click', () => stepMonth(-1));
$('month-after').addEventListener('click', () => stepMonth(1));

document.addEventListener('pointermove', (event) => {
  const mark = markAt(event) ?? focused();
  if (mark !== tooltip.mark) showTip(mark);
});
document.addEventListener('pointerdown', (event) => showTip(markAt(event)));
// A finger leaves whenever it is lifted.
document.addEventListener('pointerleave', ({ pointerType }) => { if (pointerType === 'mouse') showTip(focused()); });
document.addEventListener('click', (event) => { const mark = markAt(event); if (mark) chooseMark(mark); });
document.addEventListener('focusin', () => { if (focused()) showTip(focused()); });
document.addEventListener('focusout', ({ target }) => { if (target === tooltip.mark) showTip(null); });
document.addEventListener('scroll', () => showTip(focused()), { passive: true });
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    tooltip.isDismissed = true;
    showTip(tooltip.mark);
  } else {
    move(event);
  }
});

// A reader who goes elsewhere meanwhile is not brought back.
for (const type of ['wheel', 'touchmove', 'pointerdown', 'keydown']) {
  addEventListener(type, () => { isArriving = false; }, { once: true, passive: true });
}

const inSight = new IntersectionObserver((entries) => {
  entries.forEach(({ target, isIntersecting }) => { pictureAt(target).isVisible = isIntersecting; });
  draw();
});
const sizes = new ResizeObserver(draw);
pictures.forEach(({ figure }) => {
  inSight.observe(figure);
  sizes.observe(figure);
});

addEventListener('popstate', apply);
document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
setInterval(() => { if (!document.hidden && connection.stream) poll(); }, POLL_EVERY_MS);

apply();
connect();
