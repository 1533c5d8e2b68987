// From the replacement of a file to the changed page: the partitions' numbers, and the picture of this year.

import assert from 'node:assert/strict';
import { ask, live, open, steps } from './browser.mjs';

const REPLACEMENTS = 50;

/** In the page: when the sum of the offsets and the picture next change, and have been painted. */
function watch() {
  const painted = () => new Promise((resolve) => {
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve(performance.timeOrigin + performance.now());
      port2.postMessage(null);
    });
  });
  const change = (place, read) => new Promise((resolve) => {
    const before = read();
    const observer = new MutationObserver(() => {
      if (read() === before) return;
      observer.disconnect();
      painted().then(resolve);
    });
    observer.observe(place, { subtree: true, childList: true, attributes: true, characterData: true });
  });
  const table = document.querySelector('#partitions-table');
  const year = document.querySelector('figure[data-picture=year]');
  const offsets = () => [...table.querySelectorAll('[data-label=Offset]')].map((cell) => cell.textContent).join();
  const tips = () => [...year.querySelectorAll('[data-tip]')].map((mark) => mark.dataset.tip).join();
  window.next = () => { window.changed = Promise.all([change(table, offsets), change(year, tips)]); };
}

await steps({
  async 'replacement after replacement'() {
    const page = await open();
    await live(page);
    await page.locator('figure[data-picture=history] svg').waitFor();
    await page.evaluate(watch);
    const [numbers, pictures] = [[], []];
    for (let count = 0; count < REPLACEMENTS; count += 1) {
      await page.evaluate(() => window.next());
      const replaced = Number(await ask('replace'));
      const [number, picture] = await page.evaluate(() => window.changed);
      numbers.push(number - replaced);
      pictures.push(picture - replaced);
      // Vary the moment between two polls of the server and two frames of the screen.
      await page.waitForTimeout(Math.random() * 60);
    }
    for (const [name, times] of [['numbers', numbers], ['year', pictures]]) {
      times.sort((a, b) => a - b);
      const [median, last] = [times[times.length >> 1], times.at(-1)].map(Math.round);
      console.log(`${name}: ${median} ms after the file (median), ${last} ms (last of ${times.length})`);
      // It takes far less on an idle machine, and other programs may run here. But a page that polled, as it does
      // every two seconds, would take 1000 ms.
      assert.ok(median < 500, `${name}: ${median} ms`);
    }
  },
});
