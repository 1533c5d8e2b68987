// A server that goes away and comes back: the page says so, and catches up by itself.

import assert from 'node:assert/strict';
import { ask, live, open, steps, tolerate, until } from './browser.mjs';

let page;
const tip = () => page.locator('figure[data-picture=year] [data-tip^="May 1870"]').getAttribute('data-tip');

await steps({
  async 'live at first'() {
    page = await open();
    await live(page);
    assert.match(await tip(), /so far, 9 of 31 days/);
  },
  async 'stale without a server'() {
    // A browser reports each request that gets no response, and has no setting against it.
    tolerate(/net::ERR_/);
    await ask('stop');
    await page.locator('#connection[data-state=stale]').waitFor();
    assert.match(await page.locator('#connection').innerText(), /^stale since \d\d:\d\d:\d\d/);
    // The old content stays.
    assert.match(await tip(), /so far, 9 of 31 days/);
    await ask('replace');
  },
  async 'live again, and all that came meanwhile'() {
    await ask('start');
    const began = Date.now();
    await live(page);
    console.log(`live again after ${Date.now() - began} ms`);
    await page.locator('figure[data-picture=year] [data-tip^="May 1870"][data-tip*=", 10 of 31 days"]').waitFor();
    tolerate();
  },
  async 'and what comes from then on'() {
    await ask('replace');
    await page.locator('figure[data-picture=year] [data-tip^="May 1870"][data-tip*=", 11 of 31 days"]').waitFor();
  },
  async 'a page in the background waits until it is seen'() {
    const turn = (isHidden) => page.evaluate((isHidden) => {
      Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, isHidden);
    let asked = 0;
    let last = Date.now();
    const unanswered = new Set();
    page.on('request', (request) => { asked += 1; last = Date.now(); unanswered.add(request); });
    for (const end of ['requestfinished', 'requestfailed']) {
      page.on(end, (request) => { last = Date.now(); unanswered.delete(request); });
    }
    await turn(true);
    // It completes the fetches that it had started before, picture after picture.
    await until('a page at rest', () => unanswered.size === 0 && Date.now() - last >= 1000);
    asked = 0;
    await ask('replace');
    await page.waitForTimeout(2500);
    assert.equal(asked, 0);
    await turn(false);
    await page.locator('figure[data-picture=year] [data-tip^="May 1870"][data-tip*=", 12 of 31 days"]').waitFor();
  },
});
