// The page of `almanac dashboard`: shows the content of DIR, and follows it as it changes.
//
// The server draws the pictures; this script fetches them, and adds tooltips and keys. The URL holds the reader's choice,
// so that a link shows the same.

import { choose, press, readUrl, setTheme, settings, stored, whenChosen } from './choice.js';
import { POLL_EVERY_MS, Unanswered, connect, connection, disconnect, follow, poll, showConnection } from './connection.js';
import { hasDays, update } from './data.js';
import { head } from './head.js';
import { showPartitions } from './partitions.js';
import { pictureAt, pictures, showColours, showMonth, stepMonth } from './pictures.js';
import { focused, markAt, showTip, tooltip } from './tooltip.js';
import { Values } from './values.js';
import { MONTHS, $, element } from './words.js';

function apply() {
  readUrl();
  press('unit', settings.unit);
  showColours();
  showMonth();
  draw();
}

function take(news) {
  update(news);
  showConnection();
  showColours();
  // A picture is asked for before anything else is done, which then takes no time of its own.
  draw();
  showPartitions();
  if (!hasDays()) pictures.forEach((picture) => picture.clear());
  draw();
}

// The order of drawing

const drawn = [pictures[0], head, ...pictures.slice(1), ...pictures.map((picture) => new Values(picture, draw))];
let isDrawing = false;
/** Whether the page has the widths of paper, until it is printed. */
let isOnPaper = false;
let drawAgain = null;

/** Draws what has changed, one at a time, so that what is cheap and stands first does not wait for long. */
async function draw() {
  if (isDrawing || isOnPaper || !connection.isAnswering) return;
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

// Keys

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
$('colours').addEventListener('click', ({ target }) => { if (target.value) choose({ colours: target.value }); });
$('month').addEventListener('change', ({ target }) => choose({ month: target.value }));
$('month-before').addEventListener('click', () => stepMonth(-1));
$('month-after').addEventListener('click', () => stepMonth(1));

document.addEventListener('pointermove', (event) => {
  const mark = markAt(event) ?? focused();
  if (mark !== tooltip.mark) showTip(mark);
});
for (const type of ['pointerover', 'focusin']) {
  document.addEventListener(type, ({ target }) => { pictureAt(target)?.loadTips(); });
}
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

addEventListener('beforeprint', () => {
  isOnPaper = true;
  pictures.forEach((picture) => picture.showForPaper());
});
addEventListener('afterprint', () => {
  isOnPaper = false;
  pictures.forEach((picture) => picture.showForScreen());
  draw();
});
addEventListener('popstate', apply);
document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
setInterval(() => { if (!document.hidden && connection.stream) poll(); }, POLL_EVERY_MS);

whenChosen(apply);
apply();
follow(take);
