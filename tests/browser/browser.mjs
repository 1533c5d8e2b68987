// The parts that the scripts share: a Chromium that may neither complain nor send requests to another host, and
// messages to the test that runs them.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { createInterface } from 'node:readline';

export const [, , url] = process.argv;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the test do something to DIR or to the server, and waits for its answer. */
export async function ask(wish) {
  console.log(`do ${wish}`);
  return (await answers.next()).value;
}

const complaints = [];
let tolerated = null;
const complain = (text) => { if (!tolerated?.test(text)) complaints.push(text); };

/** From now on, ignores complaints that match this pattern; without a pattern, ignores none. */
export function tolerate(pattern = null) {
  tolerated = pattern;
}

/** The deadline of each wait: long, as other programs keep the machine busy. */
export const PATIENCE_MS = 60_000;

// Scripts that run in a page have no deadline of their own.
setTimeout(() => {
  console.error('it has not come to its end within ten minutes');
  process.exit(1);
}, 600_000).unref();

const browser = await chromium.launch({
  timeout: 2 * PATIENCE_MS,
  executablePath: '/usr/bin/chromium',
  // Its sandbox refuses to run as root, and containers run it as root.
  args: process.getuid() === 0 ? ['--no-sandbox'] : [],
});

export async function open(path = '', options = {}) {
  const viewport = { width: 1280, height: 900 };
  const context = await browser.newContext({ viewport, reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on('console', (message) => complain(`console: ${message.text()}`));
  page.on('pageerror', (error) => complain(`error: ${error.stack}`));
  page.on('requestfailed', (request) => {
    const { errorText } = request.failure();
    // The stream of a page ends when the page is left or closed.
    if (errorText !== 'net::ERR_ABORTED') complain(`failed: ${request.url()} ${errorText}`);
  });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) complain(`elsewhere: ${request.url()}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) complain(`${response.status()}: ${response.url()}`);
  });
  await page.goto(url + path);
  return page;
}

/** Waits for something that the page does not tell by itself. */
export async function until(what, isSo) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    assert.ok(Date.now() < deadline, `not within ${PATIENCE_MS / 1000} s: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** How a page is looked at: in either theme, on a desktop and a phone, and printed from them. */
const LOOKS = ['screen', 'print'].flatMap((media) => ['light', 'dark'].flatMap((theme) => (
  [1280, 360].map((width) => [media, theme, width])
)));

/** Nothing is against accessibility, however the page is looked at. */
export async function isAccessible(page, state) {
  const before = page.viewportSize();
  await page.evaluate(axe);
  for (const [media, theme, width] of LOOKS) {
    await page.emulateMedia({ media: 'screen' });
    await page.setViewportSize({ width, height: 900 });
    await page.locator(`#theme [value=${theme}]`).click();
    await page.emulateMedia({ media });
    // The rows of a table are alike, and each costs axe as much as a picture.
    const context = { exclude: 'tbody tr:nth-child(n + 4)' };
    const { violations } = await page.evaluate((given) => axe.run(...given), [context, { runOnly: RULES }]);
    const where = ({ target, failureSummary }) => `${target} ${failureSummary}`;
    const said = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(where).join('; ')}`);
    assert.deepEqual(said, [], `${state}, ${media}, ${theme}, ${width} px`);
  }
  await page.emulateMedia({ media: 'screen' });
  await page.setViewportSize(before);
}

export const live = (page) => page.locator('#connection[data-stream=live]').waitFor();

/** Runs the steps of a script, and says which one failed. */
export async function steps(named) {
  let at = 'the start';
  try {
    for (const [name, step] of Object.entries(named)) {
      at = name;
      await step();
      if (complaints.length > 0) throw new Error(complaints.join('\n'));
    }
  } catch (error) {
    console.error(`${at}: ${error.stack}`);
    process.exitCode = 1;
  }
  await browser.close();
  process.exit();
}
