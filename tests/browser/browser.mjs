// What the scripts share: a Chromium that may neither complain nor ask anybody else, and a word with the test that
// runs them.

import { chromium } from 'playwright-core';
import { createInterface } from 'node:readline';

export const [, , url] = process.argv;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the test do something to DIR or to the server, and waits for its answer. */
export async function ask(wish) {
  console.log(`do ${wish}`);
  return (await answers.next()).value;
}

/** What must be empty in the end; a script that expects something takes it out. */
export const complaints = [];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // Its sandbox refuses to run as root, as which containers run it.
  args: process.getuid() === 0 ? ['--no-sandbox'] : [],
});

export async function open(path = '', options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  page.on('console', (message) => complaints.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.stack}`));
  page.on('requestfailed', (request) => {
    // A page that is left or closed takes its stream with it.
    if (request.failure().errorText !== 'net::ERR_ABORTED') complaints.push(`failed: ${request.url()} ${request.failure().errorText}`);
  });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) complaints.push(`elsewhere: ${request.url()}`);
  });
  page.on('response', (response) => { if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`); });
  await page.goto(url + path);
  return page;
}

export const live = (page) => page.locator('#connection[data-state=live]').waitFor();

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
